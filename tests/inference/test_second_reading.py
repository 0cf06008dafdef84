"""The scene behind an answer, its check, premise and sentence, on readings made from scenes."""

import json
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scene_maps import maps_of

import vqa
from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.language import parse_question, read_free
from vqa.clevr.programs import Step, answer_string, execute
from vqa.clevr.question import FALSE_PREMISES
from vqa.clevr.question_generation import Balance, QuestionGenerator, load_templates
from vqa.clevr.scenes import Scene, SceneObject
from vqa.clevr.vocabulary import ANSWERS, ATTRIBUTES
from vqa.errors import InputError
from vqa.evaluation.second_reading import compare_scenes
from vqa.inference.answer import Answer, Block
from vqa.inference.predicted_scene import PredictedScene, decode, draw, scene_with
from vqa.inference.second_reading import check, premise, together
from vqa.inference.sentence import MOST_WORDS, because
from vqa.model.scene import SceneMaps

SCENES = [sample_layout(0, "val", index).scene for index in range(6)]


def scene_of_words(*said):
    """A scene with these objects from left to right: "large red metal cube"."""
    objects = []
    for place, words in enumerate(said):
        size, color, material, shape = words.split()
        x, y = np.array([place - len(said) / 2, 0.3 * place]) @ np.array([[0.6563, 0.7545], [0.7545, -0.6563]])
        objects.append(
            SceneObject(shape, color, size, material, (float(x), float(y), 0.5), 0.0, (60 + 40 * place, 150, 9))
        )
    return scene_with(objects)


def answer_about(scene, question, answer="0", attention=()):
    blocks = tuple(Block(None, None, None, None, one) for one in attention)
    seen = maps_of(scene, 160, 240, 12.0)
    return Answer(answer, 0.9, [(answer, 0.9)], [], None, blocks, [], (0, 0, 1, 1), question=question, readings=seen)


WORLD = scene_of_words("large red metal cube", "small red rubber cube", "small blue rubber sphere")


@pytest.mark.parametrize("scene", SCENES)
def test_without_doubt_the_second_reading_is_the_program_executed(scene):
    seen = decode(maps_of(scene, 160, 240, 12.0))
    for question in QuestionGenerator(load_templates()).generate(scene, 40, random.Random(0)):
        found = check(question.program, seen, question.answer)
        assert (found.answer, found.agrees) == (question.answer, True)
        assert found.holds > 0.9
        assert premise(found).status == "holds"
        sets = [len(step) for step in found.objects if step is not None]
        true = [
            len(out) if isinstance(out, tuple) else 1
            for out, step in zip(execute(question.program, scene), found.objects, strict=True)
            if step is not None
        ]
        assert sets == true
        text = because(question.program, found.reasoning_objects, seen.objects, question.answer)
        assert len(text.split()) <= MOST_WORDS
        assert text.endswith(f"{question.answer}.")
        assert answer_string(execute(question.program, scene)[-1]) == question.answer


def test_the_scene_is_clevrs_and_can_be_read_back():
    for scene in SCENES:
        seen = decode(maps_of(scene, 160, 240, 12.0))
        record = json.loads(json.dumps(seen.to_json()))
        assert len(Scene.from_json(record).objects) == len(scene.objects)
        assert set(record["objects"][0]["confidence"]) == {"object", *ATTRIBUTES}
        counts, by_occlusion = compare_scenes(scene, seen)
        assert sum(part["objects"] for part in by_occlusion.values()) == len(scene.objects)
        assert by_occlusion["over 90 %"]["objects"] > 0
        assert counts["found"] == counts["objects"] == counts["seen"]
        assert counts["wholly right"] == 1


def test_an_object_split_over_two_cells_is_summed():
    maps = SceneMaps(torch.full((1, 16, 24), -9.0), torch.zeros(1, 15, 16, 24), torch.zeros(1, 2, 16, 24))
    maps.objectness[0, 5, 5:7] = 0.0
    assert [round(item.presence, 2) for item in decode(maps).objects] == [1.0]
    maps.position[0, 0, 5, 6] = 1.0  # three units apart on the ground: two objects, each doubted
    assert len(decode(maps).candidates) == 2


@pytest.mark.parametrize(
    ("question", "status", "text"),
    [
        ("What material is the green sphere?", "absent", "There is no green sphere."),
        ("What material is the red cube?", "ambiguous", "There are 2 red cubes."),
        ("What material is the large cube?", "holds", None),
        ("How many spheres are left of the green cube?", "absent", "There is no green cube."),
        ("What is the meaning of life?", "cannot tell", "What the question takes for granted cannot be checked."),
    ],
)
def test_premises(question, status, text):
    answer = answer_about(WORLD, question)
    assert (answer.premise.status, answer.premise.text) == (status, text)
    assert answer.because == (text if status in ("absent", "ambiguous") else answer.because)


def test_generated_false_premises_are_found_where_the_scene_is_seen():
    balances = {kind: Balance() for kind in FALSE_PREMISES}
    made = QuestionGenerator(load_templates()).generate_false(SCENES[0], 20, random.Random(0), balances)
    seen = decode(maps_of(SCENES[0], 160, 240, 12.0))
    assert {question.premise for question in made} == set(FALSE_PREMISES)
    for question in made:
        found = premise(check(question.program, seen, ""))
        assert (found.status, found.phrase) == (question.premise, question.phrase)


@pytest.mark.parametrize(
    ("question", "answer", "text"),
    [
        ("How many things are left of the sphere?", "2", "There is 1 sphere; 2 things are left of it; so 2."),
        ("What color is the sphere?", "blue", "There is 1 sphere; it is blue."),
        ("What color is the sphere?", "red", "There is 1 sphere; it is blue, yet the network says red."),
        ("Are there more cubes than spheres?", "yes", "There are 2 cubes; there is 1 sphere; so yes."),
        ("Is there a green thing?", "no", "There is no green thing; so no."),
        (
            "Is the large cube the same color as the sphere?",
            "no",
            "There is 1 large cube; there is 1 sphere; one is red, the other blue; so no.",
        ),
        (
            "How many other things have the same color as the large cube?",
            "1",
            "There is 1 large cube; 1 thing has its color; so 1.",
        ),
    ],
)
def test_the_sentence(question, answer, text):
    assert answer_about(WORLD, question, answer).because == text


def test_the_sentence_of_a_wrong_answer_shows_where_the_network_looked():
    attention = np.zeros((160, 240))
    wrong = answer_about(WORLD, "How many cubes are there?", "0", [attention])
    assert wrong.check.answer == "2"
    assert wrong.because == "There is no cube; so 0."


def test_the_sentence_leaves_out_what_no_block_attended_to():
    seen = decode(maps_of(WORLD, 160, 240, 12.0))
    question = "How many things are left of the sphere?"
    nothing, sphere = np.zeros((160, 240)), np.zeros((160, 240))
    for cell in next(item for item in seen.objects if item.value("shape") == "sphere").cells:
        sphere[cell] = 1.0
    answer = answer_about(WORLD, question, "2", [sphere, nothing])
    assert answer.attended[1] is None
    assert answer.because == "There is 1 sphere; the network says 2."
    assert answer_about(WORLD, question, "0", [sphere, nothing]).because == (
        "There is 1 sphere; no thing is left of it; so 0."
    )


def test_both_together_follow_the_second_reading_where_it_is_sure():
    wrong = answer_about(WORLD, "How many cubes are there?", "0")
    assert (wrong.answer, wrong.check.answer, wrong.together) == ("0", "2", "2")
    doubtful = replace(wrong.check, confidence=0.5)
    assert together("0", doubtful) == together("0", None) == "0"
    assert wrong.two_readings == ("The network says 0; its scene, read step by step, says 2 (100%). Both together: 2.")
    assert answer_about(WORLD, "How many cubes are there?", "2").two_readings is None
    assert answer_about(WORLD, "What color is the cylinder?", "red").two_readings is None  # a premise fails


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("How many things are not red?", "1"),
        ("How many things are neither cubes nor large?", "1"),
        ("What color is the thing that is not a cube?", "blue"),
        ("Is the sphere not red?", "yes"),
        ("Is the sphere unmetallic?", "yes"),
        ("Are there at least two cubes?", "yes"),
        ("Are there three cubes?", "no"),
        ("Are both cubes red?", "yes"),
        ("Are all the cubes metal?", "no"),
        ("Are there more cubes or spheres?", "cube"),
        ("What is the most common color?", "red"),
        ("How many different materials are there?", "2"),
        ("What size is the leftmost cube?", "large"),
        ("What color is the object between the large cube and the sphere?", "red"),
        ("What shape is farthest to the right?", "sphere"),
        ("What shape is right of all the cubes?", "sphere"),
        ("Is the large cube larger than the blue ball?", "yes"),
        ("How many things are the same size as the blue ball?", "1"),
        ("What color is the second object from the left?", "red"),
        ("Is the small cube larger than the sphere?", "no"),
        ("What shape is the object that is a different color than the others?", "sphere"),
        ("How many more cubes than spheres are there?", "1"),
        ("If all the cubes were removed, how many things would remain?", "1"),
        ("How many things are the same color?", "2"),
        ("What shape are the things that are the same color?", "cube"),
        ("Is the sphere the same size as any other thing?", "yes"),
        ("Is the large cube the same size as any other thing?", "no"),
        ("Are all the cubes the same color and shape?", "yes"),
        ("Are most of the things red?", "yes"),
        ("Are most of the things metal?", "no"),
        ("Is there an even number of cubes?", "yes"),
        ("Is there an odd number of cubes?", "no"),
        ("How many things are on the left?", "3"),
        ("Are there any things on the right side?", "no"),
        ("Is the sphere the leftmost thing?", "no"),
        ("Is the sphere farthest to the right?", "yes"),
        ("There are two cubes; are they the same material?", "no"),
        ("What material is the thing with a color all its own?", "rubber"),
        ("Which shape is missing?", "cylinder"),
        ("Is there more than one size?", "yes"),
        ("The sphere is the same size as how many other things?", "1"),
    ],
)
def test_free_questions_are_answered_by_program(question, answer):
    assert check(read_free(question), decode(maps_of(WORLD, 160, 240, 12.0)), "").answer == answer


def test_a_scene_without_objects_and_one_with_forty():
    nothing = PredictedScene(())
    found = check(parse_question("How many things are there?"), nothing, "0")
    assert (found.answer, found.agrees) == ("0", True)
    found = check(parse_question("What color is the cube?"), nothing, "red")
    assert (found.answer, found.agrees, premise(found).status) == (None, False, "absent")
    maps = SceneMaps(torch.full((1, 16, 24), -9.0), torch.zeros(1, 15, 16, 24), torch.zeros(1, 2, 16, 24))
    maps.objectness[0, ::4, ::3] = 9.0
    maps.position[0, 0, ::4, ::3] = torch.arange(32).float().view(4, 8)
    crowd = decode(maps)
    assert len(crowd.objects) == 10
    found = check(parse_question("How many things are there?"), crowd, "10")
    assert found.answer == "10"
    assert draw(Image.new("RGB", (48, 32)), crowd).size == (48, 32)


PEOPLES = [
    "What color is the largest cube next to the sphere?",
    "How many cubes are partially hidden by the sphere?",
    "What shape is the object between the large cube and the small cube?",
    "What is the shape of the object farthest away from the others?",
    "What is the most common color?",
    "How many different sizes are there?",
    "Are all the cubes the same color?",
    "What is the third object from the left?",
    "What color is the thing that is a different shape than the others?",
    "What shape is to the left of all the cubes?",
    "Which color has two objects?",
    "Are there more cubes or spheres?",
    "What color are the cubes that are the same size?",
    "Are most of the things cubes?",
    "How many cubes are on the left?",
    "Is there an odd number of cubes?",
    "Are all the cubes the same size and color?",
]


@pytest.mark.parametrize("question", PEOPLES)
def test_free_questions_about_nothing_and_about_a_crowd(question):
    crowd = decode(maps_of(sample_layout(3, "val", 0).scene))
    crowd = PredictedScene(crowd.candidates * (40 // len(crowd.candidates)))
    for seen in (PredictedScene(()), crowd):
        found = check(read_free(question), seen, "")
        assert found.answer is None or found.answer in ANSWERS
        assert premise(found).status in ("holds", "absent", "ambiguous")


def test_a_program_that_does_not_fit_is_named():
    broken = (Step("scene"), Step("count", (0,)), Step("filter_color", (1,), "red"))
    with pytest.raises(InputError, match=r"program\[2\]: filter_color cannot read the steps \[1\]"):
        check((*broken, Step("count", (2,))), decode(maps_of(WORLD, 160, 240, 12.0)), "")
    with pytest.raises(InputError, match=r"program\[1\]: shake"):
        check((Step("scene"), Step("shake", (0,))), decode(maps_of(WORLD, 160, 240, 12.0)), "")


def test_negations_in_the_answerer(tiny_checkpoint, image_file):
    answerer = vqa.load(tiny_checkpoint, "cpu")
    answer = answerer.ask(image_file, "How many things are not red?")
    assert answer.program is not None
    assert (answer.answer, answer.in_domain) == (answer.check.answer, False)
    assert answer.check.agrees
    record = answer.to_json()
    assert record["check"]["decides"]
    assert "not red; so" in record["because"]
    with pytest.raises(InputError, match="this negation is not read"):
        answerer.ask(image_file, "How many things are without color?")
    with pytest.raises(InputError, match="looks like German"):
        answerer.ask(image_file, "Wie viele rote cubes gibt es?")
    cones = answerer.ask(image_file, "How many cones are there?")
    assert cones.unknown_words == ["cones"]
    assert "cones" in cones.premise.text
