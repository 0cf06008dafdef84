"""The answers that a question's wording asks for."""

import json
import random

import pytest
from scene_strategies import SHARED, needs_shared

from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.language import asked_answers
from vqa.clevr.question_generation import QuestionGenerator, load_templates
from vqa.clevr.vocabulary import ANSWERS, COLORS, MATERIALS, SHAPES, SIZES


@pytest.mark.parametrize(
    ("question", "answers"),
    [
        ("How many shadows are there?", {str(count) for count in range(11)}),
        ("What color casts the longest shadow?", {*COLORS}),
        ("What is the shape of the things which share a color?", {*SHAPES}),
        ("The mirrored ball is made of what?", {*MATERIALS}),
        ("How tall is the mirrored ball?", {*SIZES}),
        ("If it rolled, would the ball hit a cube?", {"yes", "no"}),
        ("Is the shadow's cube red or blue?", {*ANSWERS}),
        ("Which object is mirrored?", {*SHAPES, *COLORS, *MATERIALS, *SIZES}),
        ("The ball plus the cube", {*ANSWERS}),
    ],
)
def test_by_wording(question, answers):
    assert set(asked_answers(question)) == answers


def test_clevrs_own_questions_have_one_of_them():
    generator = QuestionGenerator(load_templates() + load_templates(families=["closure"]))
    for index in range(3):
        for question in generator.generate(sample_layout(0, "val", index).scene, 60, random.Random(index)):
            assert question.answer in asked_answers(question.question), question.question


@needs_shared
def test_peoples_answers_are_nearly_always_among_them():
    records = json.loads((SHARED / "clevr-language/CLEVR-Humans-val.json").read_bytes())["questions"]
    fits = [record["answer"] in asked_answers(record["question"]) for record in records]
    assert sum(fits) > 0.99 * len(fits)
