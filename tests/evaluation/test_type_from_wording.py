"""Question types from the wording, against the programs of all stored questions."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vqa.clevr.annotations import iter_questions
from vqa.clevr.vocabulary import QUESTION_TYPES
from vqa.evaluation.breakdowns import type_from_wording
from vqa.utils.resources import shipped

SHARED = Path(__file__).parents[3] / "shared"
STORED = sorted([*SHARED.glob("clevr-*/questions/*.json"), *SHARED.glob("clevr-*/closure_questions.json")])


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many large cubes are there?", "count"),
        ("What number of things are left of the cube?", "count"),
        ("There is a red ball; how many metal things are to the right of it?", "count"),
        ("Is the number of cubes less than the number of balls?", "compare integer"),
        ("Are there more cubes than spheres?", "compare integer"),
        ("Are there the same number of blocks and balls?", "compare integer"),
        ("Is there anything else that has the same color as the cube?", "exist"),
        ("Are any blue spheres visible?", "exist"),
        ("What's the color of the ball?", "query attribute"),
        ("How big is the cube?", "query attribute"),
        ("The cube is made of what material?", "query attribute"),
        ("Do the cube and the ball have the same size?", "compare attribute"),
        ("There is a cube; does it have the same color as the ball?", "compare attribute"),
        ("Will the ball roll off?", None),
        ("", None),
        ("Сколько кубов?", None),
    ],
)
def test_types(question, expected):
    assert type_from_wording(question) == expected


@given(st.text())
def test_any_text_has_a_type_or_none(text):
    assert type_from_wording(text) in (*QUESTION_TYPES, None)


def _disagreements(path):
    questions = list(iter_questions(path))
    return [q.question for q in questions if type_from_wording(q.question) != q.type], len(questions)


def test_wording_agrees_with_the_programs_of_shipped_questions():
    found, count = _disagreements(shipped("data/clevr-mini") / "questions/CLEVR_val_questions.json")
    assert count >= 100
    assert found == []


@pytest.mark.slow
@pytest.mark.skipif(not STORED, reason="../shared is not here")
@pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
def test_wording_agrees_with_the_programs_of_all_stored_questions(path):
    assert _disagreements(path)[0] == []
