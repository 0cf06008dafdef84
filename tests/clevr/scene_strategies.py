"""Scenes for tests: drawn by hypothesis, or at random from a seed; and where the shared data lies."""

import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.question import Question
from vqa.clevr.question_generation import Balance
from vqa.clevr.question_generation.batched import BatchGenerator
from vqa.clevr.question_generation.instantiate import program_of
from vqa.clevr.question_generation.scene_arrays import SceneArrays
from vqa.clevr.question_generation.templates import Template
from vqa.clevr.scenes import Scene, SceneObject, compute_relationships
from vqa.clevr.vocabulary import ATTRIBUTES

SHARED = Path(__file__).parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is not here")


def make_scene(objects) -> Scene:
    objects = tuple(objects)
    return Scene(objects, compute_relationships(objects), 0, "CLEVR_test_000000.png", "test")


_places = st.integers(-30, 30).map(lambda place: place / 10)
_objects = st.builds(
    SceneObject,
    **{name: st.sampled_from(values) for name, values in ATTRIBUTES.items()},
    coords=st.tuples(_places, _places, st.just(0.7)),
)
scenes = st.lists(_objects, max_size=10).map(make_scene)


def sampled_scenes(count: int, split: str = "train", condition: str = "none", seed: int = 0) -> list[Scene]:
    """The scenes of images 0 to `count` - 1 of a split, placed as in CLEVR."""
    return [sample_layout(seed, split, index, condition).scene for index in range(count)]


def random_scenes(count: int, seed: int = 0) -> list[Scene]:
    rng = random.Random(seed)
    return [
        make_scene(
            SceneObject(
                **{name: rng.choice(values) for name, values in ATTRIBUTES.items()},
                coords=(rng.uniform(-3, 3), rng.uniform(-3, 3), 0.7),
            )
            for _ in range(rng.randint(3, 10))
        )
        for _ in range(count)
    ]


def batch_questions(templates: Sequence[Template], world: Sequence[Scene], count: int) -> list[tuple[Scene, Question]]:
    """(scene, question) pairs that `BatchGenerator` makes, `count` a scene."""
    rng, seen = np.random.default_rng(0), [set() for _ in world]
    counts = np.full(len(world), count)
    asked = BatchGenerator(templates).generate(SceneArrays.of(world), counts, rng, Balance(), seen)
    return [
        (
            world[row],
            Question(
                text,
                answer,
                program_of(some.template, values),
                question_family_index=some.template.key[1],
                template_filename=some.template.key[0],
            ),
        )
        for some in asked
        for row, text, answer, values in zip(some.rows, some.texts(rng), some.answers, some.values(), strict=True)
    ]
