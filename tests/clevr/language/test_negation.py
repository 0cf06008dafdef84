"""Negations keep their meaning or are refused."""

import pytest

from vqa.clevr.language import foreign_language, parses, read_negation, restate
from vqa.clevr.language.describe import describe
from vqa.errors import InputError


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("How many things are neither cubes nor spheres?", "how many cylinders are there"),
        ("Is the sphere unmetallic?", "is there a matte sphere"),
        ("How many things aren't metal?", "how many rubber things are there"),
        ("Is there a cube that is not large?", "is there a small cube"),
        ("Are there any non-shiny balls?", "are there any matte balls"),
    ],
)
def test_what_has_one_opposite_is_said_by_it(said, meant):
    assert restate(said) == meant


@pytest.mark.parametrize(
    ("question", "functions"),
    [
        ("How many things are not red?", "scene except_color[red] count"),
        ("How many cubes are not red?", "scene except_color[red] filter_shape[cube] count"),
        ("How many things are neither red nor blue?", "scene except_color[red] except_color[blue] count"),
        ("How many objects other than cubes are there?", "scene except_shape[cube] count"),
        ("How many things are there except spheres?", "scene except_shape[sphere] count"),
        ("Is the sphere not red?", "scene except_color[red] filter_shape[sphere] exist"),
        ("What color is the thing that is not a cube?", "scene except_shape[cube] unique query_color"),
        (
            "How many things are left of the cube that isn't red?",
            "scene except_color[red] filter_shape[cube] unique relate[left] count",
        ),
    ],
)
def test_complements_are_programs(question, functions):
    program = read_negation(question)
    assert " ".join(f"{s.function}[{s.value}]" if s.value else s.function for s in program) == functions
    assert not parses(restate(question))


@pytest.mark.parametrize(
    "question",
    [
        "How many things are not large red cubes?",
        "How many red things are not left of the cube?",
        "Are there no red cubes?",
        "How many things are without color?",
    ],
)
def test_other_negations_are_refused(question):
    with pytest.raises(InputError, match="this negation is not read"):
        read_negation(question)
    assert not parses(restate(question))


def test_a_complement_in_words():
    assert describe(read_negation("How many cubes are not red?"), 2, plural=True) == "cubes that are not red"
    program = read_negation("How many things are neither red nor blue?")
    assert describe(program, 2) == "thing that is neither red nor blue"


@pytest.mark.parametrize(
    "question", ["How many cones are there?", "Is there a red pyramid?", "What color is the ring?"]
)
def test_things_of_other_worlds_are_not_replaced(question):
    word = next(word for word in ("cones", "pyramid", "ring") if word in question)
    assert word in restate(question)
    assert not parses(restate(question))


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie viele rote cubes gibt es?", "German"),
        ("Combien de cubes rouges y a-t-il, et quelle couleur?", "French"),
        ("How many red cubes are there?", None),
        ("Do you see a cube behind la sphere?", None),
    ],
)
def test_other_languages_are_named(question, language):
    assert foreign_language(question) == language
