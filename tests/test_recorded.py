"""What users' files, scripts and results rest on is as it was when it was recorded: answers, JSON keys, seeds.

The values in `recorded/` come from the code before it moved to its present rooms. Change them only with a reason that
a user would accept, and say it in the commit.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vqa.clevr.annotations import image_path, questions_path, read_questions
from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import generate_questions
from vqa.cli import main
from vqa.inference.answerer import load
from vqa.utils.resources import shipped

RECORDED = Path(__file__).parent / "recorded"
CHECKPOINTS = ("film-qcse-clevr", "film-base-clevr")
MINI = shipped("data/clevr-mini")
TINY = ("width=16", "text_dim=32", "word_dim=16", "stem_widths=8,16,16", "stem_blocks=1", "classifier_dim=32")
LAYOUT_SEEDS = ((0, "train", "none"), (7, "val", "cogent-a"), (7, "val", "cogent-b"))
FAMILIES = (None, ("composition",))


def recorded(name: str) -> Any:
    return json.loads((RECORDED / f"{name}.json").read_text())


def digest(records: Iterable[Any]) -> str:
    found = hashlib.sha256()
    for record in records:
        found.update(json.dumps(record, sort_keys=True).encode())
    return found.hexdigest()


def keys(value: Any) -> Any:
    """The keys of nested objects in their order, a list's items merged; None for what is neither."""
    if isinstance(value, dict):
        return {key: keys(item) for key, item in value.items()}
    return keys(value[0]) if isinstance(value, list) and value else None


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_answer_as_recorded(name: str) -> None:
    answerer, expected = load(shipped(f"checkpoints/{name}"), "cpu"), recorded(name)
    questions = list(read_questions(questions_path(MINI, "val")))[: len(expected["logits"])]
    for question, logits in zip(questions, expected["logits"], strict=True):
        path = image_path(MINI, "val", question.image_filename)
        inputs = answerer.processor(images=path, text=question.question, return_tensors="pt")
        with torch.inference_mode():
            found = answerer.model(**inputs).logits[0].numpy()
        np.testing.assert_allclose(found, logits, atol=1e-5, rtol=1e-5)
    # The recording asked the first question about the last of these images.
    answer = answerer.ask(image_path(MINI, "val", questions[-1].image_filename), questions[0].question).to_json()
    assert json.dumps(keys(answer)) == json.dumps(expected["ask_keys"])
    assert (answer["answer"], answer["words"]) == (expected["answer"], expected["words"])


def test_seeds_give_the_recorded_scenes_and_questions() -> None:
    assert list(seeded()) == recorded("seeds")["digests"]


def seeded() -> Iterator[list[str]]:
    """What is made of each seed, with its SHA-256."""
    for seed, split, condition in LAYOUT_SEEDS:
        layouts = [sample_layout(seed, split, index, condition) for index in range(12)]
        scenes = [layout.scene for layout in layouts]
        places = [[layout.scene.to_json(), layout.camera, layout.lamps, layout.render_seed] for layout in layouts]
        yield [f"scenes {seed}/{split}/{condition}", digest(places)]
        for families in FAMILIES:
            made = generate_questions(scenes, load_templates(families=families), 5, seed)
            yield [f"questions {families} {seed}/{split}/{condition}", digest(item.to_json() for item in made)]


def test_a_seed_gives_the_recorded_batches(tmp_path: Path) -> None:
    for row, expected in zip(trained(tmp_path), recorded("seeds")["training"], strict=True):
        assert row == pytest.approx(expected, rel=1e-3, abs=1e-5)


def trained(folder: Path) -> list[dict[str, float]]:
    """The log of a short run, which rests on its weights, its questions, their order and the augmentation."""
    command = ["train", "--data", str(MINI), "--out", str(folder / "run"), "--epochs", "1", "--batch-size", "64"]
    command += ["--preset", "film-qcse-1"]  # the product when it was recorded
    command += ["--set", *TINY, "image_size=64x96", "--seed", "3", "--generated", "0.5", "--compositions", "0.5"]
    assert main([*command, "--mixed-precision", "no", "--warmup-steps", "2"]) == 0
    rows = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "minutes"} for row in rows]
