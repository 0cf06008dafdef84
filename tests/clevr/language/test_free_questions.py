"""Free questions keep their meaning, or are not read."""

import json
import random
from contextlib import suppress
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scene_strategies import SHARED, needs_shared

from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.language import foreign_language, parse_question, parses, read_free, restate
from vqa.clevr.language.describe import describe
from vqa.clevr.programs import equivalent
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import QuestionGenerator
from vqa.clevr.scenes import DIRECTIONS, Scene
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.errors import InputError
from vqa.evaluation.perturbations import make_perturbation
from vqa.inference.predicted_scene import PredictedScene, SeenObject
from vqa.inference.second_reading import Worlds, execute_softly

SCENES = [sample_layout(0, "val", index).scene for index in range(12)]


def seen_without_doubt(scene: Scene) -> PredictedScene:
    return PredictedScene(
        tuple(
            SeenObject(
                1.0,
                {name: np.eye(len(values))[values.index(getattr(item, name))] for name, values in ATTRIBUTES.items()},
                tuple(float(np.dot(item.coords, DIRECTIONS[way])) for way in ("right", "front")),
                (item.pixel_coords[0] / 480, item.pixel_coords[1] / 320),
                (),
            )
            for item in scene.objects
        )
    )


def written(program) -> str:
    return " ".join(f"{step.function}[{step.value}]" if step.value else step.function for step in program)


@cache
def worlds() -> list[Worlds]:
    return [Worlds.of(seen_without_doubt(scene)) for scene in SCENES]


def answers(program) -> list[str | None]:
    """The program's answer on each scene, "ill-posed" where it has none."""
    found = [execute_softly(program, each) for each in worlds()]
    return [outcome.answers[0] if outcome.failed[0] < 0 else "ill-posed" for outcome in found]


@pytest.mark.parametrize(
    ("question", "program"),
    [
        # the examples of the issue
        ("How many things are neither cubes nor spheres?", "scene except_shape[cube] except_shape[sphere] count"),
        ("Is the sphere unmetallic?", "scene filter_shape[sphere] unique filter_material[rubber] exist"),
        ("How many things are not red?", "scene except_color[red] count"),
        ("How many things aren't metal?", "scene filter_material[rubber] count"),
        ("How many things other than cubes are there?", "scene except_shape[cube] count"),
        ("How many things are there except spheres?", "scene except_shape[sphere] count"),
        ("Are there at least two cubes?", "scene filter_shape[cube] count at_least[2]"),
        ("Are there 3 cubes?", "scene filter_shape[cube] count exactly[3]"),
        (
            "Are there as many red things as cubes?",
            "scene filter_color[red] count filter_shape[cube] count equal_integer",
        ),
        ("Are both cubes red?", "scene filter_shape[cube] filter_shape[cube] filter_color[red] all"),
        ("How many cubes or spheres are there?", "scene filter_shape[cube] filter_shape[sphere] union count"),
        ("Is there a cube that is not large?", "scene filter_size[small] filter_shape[cube] exist"),
        ("Are there no red cubes?", "scene filter_color[red] filter_shape[cube] exist negate"),
        (
            "How many red things are not left of the cube?",
            "scene filter_color[red] filter_shape[cube] unique relate[left] intersect minus count",
        ),
        (
            "How many things are not large red cubes?",
            "scene filter_size[large] filter_color[red] filter_shape[cube] minus count",
        ),
        ("How many things are not cubes or balls?", "scene except_shape[cube] except_shape[sphere] count"),
        ("Is there a cube that isn't metal?", "scene filter_material[rubber] filter_shape[cube] exist"),
        # those of people
        ("How many things are the same color?", "scene like[color] count"),
        (
            "What color are the two identical cubes?",
            "scene filter_shape[cube] like[size|color|material|shape] shared_color",
        ),
        (
            "Is the red cube the same size as any other block?",
            "scene filter_color[red] filter_shape[cube] unique filter_shape[cube] like[size] exist",
        ),
        ("Is there a ball next to a cube?", "scene filter_shape[cube] near filter_shape[sphere] exist"),
        ("What shape is the only item of its color?", "scene odd_color unique query_shape"),
        ("Are the balls shiny or matte?", "scene filter_shape[sphere] shared_material"),
        ("Is the ball closest to the camera?", "scene filter_shape[sphere] unique extreme[front] intersect exist"),
        ("Are there any cubes on the left side?", "scene filter_shape[cube] half[left] exist"),
        (
            "The ball is behind what color object?",
            "scene filter_shape[sphere] unique relate[front] unique query_color",
        ),
        ("What shape is the cube next to?", "scene filter_shape[cube] unique near unique query_shape"),
        ("Are any cubes the same color as each other?", "scene filter_shape[cube] like[color] exist"),
        ("There are two cubes; are they the same color?", "scene filter_shape[cube] all_same_color"),
        ("Are most of the things cubes?", "scene filter_shape[cube] most"),
        ("Is the number of balls an even number?", "scene filter_shape[sphere] count parity[even]"),
        ("What color is the largest sphere?", "scene filter_shape[sphere] extreme[largest] unique query_color"),
        ("What shape is in the back?", "scene extreme[behind] unique query_shape"),
        ("Are all the balls shiny?", "scene filter_shape[sphere] filter_shape[sphere] filter_material[metal] all"),
        ("Are all the blocks the same size?", "scene filter_shape[cube] all_same_size"),
        ("How many different colors are there?", "scene distinct_color"),
        ("What is the most common shape?", "scene common_shape"),
        ("Are there more balls or cubes?", "scene filter_shape[sphere] filter_shape[cube] more_of[sphere|cube]"),
        ("Is the large block matte or metallic?", "scene filter_size[large] filter_shape[cube] unique query_material"),
        ("How many cubes are partially hidden?", "scene hidden filter_shape[cube] count"),
        (
            "There is an object behind the red cube; what color is it?",
            "scene filter_color[red] filter_shape[cube] unique relate[behind] unique query_color",
        ),
        (
            "What colour is teh cilinder farthest to the left?",
            "scene filter_shape[cylinder] extreme[left] unique query_color",
        ),
    ],
)
def test_what_is_read(question, program):
    assert written(read_free(question)) == program
    if parses(restate(question)):  # then it is the network's, and must mean the same
        assert equivalent(parse_question(restate(question)), read_free(question))


@pytest.mark.parametrize("question", ["How many things are without color?", "Nothing but cubes is large, is it?"])
def test_other_negations_are_refused(question):
    with pytest.raises(InputError, match="this negation is not read"):
        read_free(question)
    assert not parses(restate(question))


def test_clevrs_own_questions_mean_the_same_in_both_grammars():
    """Over all forms: where the free grammar reads CLEVR's question, it has the answers of CLEVR's program."""
    rng, read = random.Random(0), 0
    generator = QuestionGenerator(load_templates() + load_templates(families=["closure"]))
    for scene in SCENES:
        for question in generator.generate(scene, 30, rng):
            free = read_free(question.question)
            if free is not None:
                read += 1
                assert answers(free) == answers(question.program), question.question
    assert read > 250


@pytest.mark.parametrize("kind", ["synonyms", "casual"])
def test_a_rewriting_has_the_same_program(kind):
    rng, perturbation = random.Random(1), make_perturbation(kind)
    generator = QuestionGenerator(load_templates())
    for scene in SCENES:
        for question in generator.generate(scene, 30, rng):
            said = perturbation.question(question.question, "image")
            assert equivalent(parse_question(restate(said)), question.program), said


@needs_shared
def test_peoples_questions_mean_the_same_in_both_grammars():
    """Of CLEVR-Humans, those that CLEVR's parser reads after rewording: the free grammar gives no other answer."""
    records = json.loads((SHARED / "clevr-language/CLEVR-Humans-val.json").read_bytes())["questions"]
    compared = 0
    for record in random.Random(0).sample(records, 600):
        text = restate(record["question"])
        free = read_free(record["question"]) if parses(text) else None
        if free is not None:
            compared += 1
            pairs = zip(answers(parse_question(text)), answers(free), strict=True)
            assert not [pair for pair in pairs if "ill-posed" not in pair and pair[0] != pair[1]], record["question"]
    assert compared > 200


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text):
    with suppress(InputError):
        program = read_free(text)
        assert program is None or program[0].function == "scene"


def test_a_complement_in_words():
    assert describe(read_free("How many cubes are not red?"), 2, plural=True) == "cubes that are not red"
    program = read_free("How many things are neither red nor blue?")
    assert describe(program, 2) == "thing that is neither red nor blue"
    program = read_free("What color is the leftmost cube next to the sphere?")
    assert describe(program, len(program) - 2) == "leftmost cube next to the sphere"
    program = read_free("How many small things are the same color as another thing?")
    assert describe(program, len(program) - 2, plural=True) == "small things of the same color as another thing"
    program = read_free("Is the ball in the back?")
    assert describe(program, len(program) - 2) == "sphere in the back half"
    program = read_free("Is the ball the rightmost thing?")
    assert describe(program, len(program) - 2) == "sphere that is the rightmost thing"


@pytest.mark.parametrize(
    "question", ["How many cones are there?", "Is there a red pyramid?", "What color is the ring?"]
)
def test_things_of_other_worlds_are_not_replaced(question):
    word = next(word for word in ("cones", "pyramid", "ring") if word in question)
    assert word in restate(question)
    assert not parses(restate(question))
    assert read_free(question) is None


@pytest.mark.parametrize(
    ("question", "language"),
    [
        ("Wie viele rote cubes gibt es?", "German"),
        ("Combien de cubes rouges y a-t-il, et quelle couleur?", "French"),
        ("Сколько там красных cubes?", "Russian"),
        ("立方体はいくつありますか", "Japanese"),
        ("How many red cubes are there?", None),
        ("Do you see a cube behind la sphere?", None),
    ],
)
def test_other_languages_are_named(question, language):
    assert foreign_language(question) == language


def test_a_word_is_not_mended_into_its_opposite():
    assert read_free("How many obscured objects are there?") is not None
    assert read_free("How many unobscured objects are there?") is None
