"""A small CLEVR folder with a split that has everything, one with little, and one without answers."""

import numpy as np
import pytest
from PIL import Image

from vqa.clevr.annotations import write_questions, write_scenes
from vqa.clevr.language.parser import parse_question
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene, SceneObject, compute_relationships

TEXTS = [
    ("What color is the cube?", "red"),
    ("How many things are there?", "2"),
    ("Are there more cubes than spheres?", "no"),
    ("Is there a small thing left of the metal cube?", "yes"),
    ("Does the cube have the same size as the sphere?", "no"),
]


def make_scene(i, split):
    cube = SceneObject("cube", "red", "large", "metal", (1.0, 1.0, 0.7))
    ball = SceneObject("sphere", "blue", "small", "rubber", (-1.0, -1.0, 0.35))
    objects = (cube, ball)[: 1 + (i < 3)]
    return Scene(objects, compute_relationships(objects), i, f"CLEVR_{split}_{i:06d}.png", split)


@pytest.fixture(scope="session")
def clevr_folder(tmp_path_factory):
    """val: four images, five questions each, with programs and scenes. human: free words. test: no answers."""
    root = tmp_path_factory.mktemp("data") / "small-clevr"
    rng = np.random.default_rng(0)
    for split in ("val", "human", "test"):
        (root / "images" / split).mkdir(parents=True)
        for i in range(4):
            image = Image.fromarray(rng.integers(0, 256, (32, 48, 3), np.uint8))
            image.save(root / "images" / split / f"CLEVR_{split}_{i:06d}.png")
    write_scenes(root / "scenes/CLEVR_val_scenes.json", [make_scene(i, "val") for i in range(4)])
    write_questions(
        root / "questions/CLEVR_val_questions.json",
        [
            Question(
                text,
                answer,
                parse_question(text),
                f"CLEVR_val_{i:06d}.png",
                i,
                "val",
                100 + 5 * i + j,
                j,
                "some_form.json",
            )
            for j, (text, answer) in enumerate(TEXTS)
            for i in range(4)
        ],
    )
    free = [
        ("What color is the cube?", "red"),
        ("Is the glorbish cube shiny or dull?", "shiny"),
        ("何色", "42"),
        ("\U0001f600" * 20, "yes"),
        ("cube " * 2000, "no"),
        ("How many things are there?", None),
    ]
    write_questions(
        root / "questions/CLEVR_human_questions.json",
        [
            Question(text, answer, image_filename=f"CLEVR_human_{i % 4:06d}.png")
            for i, (text, answer) in enumerate(free)
        ],
    )
    write_questions(
        root / "questions/CLEVR_test_questions.json",
        [Question(text, None, None, None, i, "test", i) for i, (text, _) in enumerate(TEXTS[:4])],
    )
    return root
