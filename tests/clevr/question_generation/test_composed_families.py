"""The question families beyond CLEVR's: well-posed, in its language, and without CLOSURE's seven forms."""

import random
from collections import Counter

import pytest
from scene_strategies import random_scenes

from vqa.clevr.language.parser import parse_question, unknown_words
from vqa.clevr.programs import MAX_STEPS, answer_string, equivalent, execute, question_type, reasoning_steps
from vqa.clevr.question_generation.composed_families import composed_templates
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import Balance, QuestionGenerator
from vqa.clevr.split_protocols import closure_form
from vqa.clevr.vocabulary import RELATIONS
from vqa.errors import InputError


@pytest.fixture(scope="module")
def asked():
    rng, balance, generator = random.Random(0), Balance(), QuestionGenerator(composed_templates())
    return [
        (scene, question) for scene in random_scenes(150) for question in generator.generate(scene, 12, rng, balance)
    ]


def test_every_question_has_its_answer_and_parses_to_its_program(asked):
    assert len(asked) > 1000
    for scene, question in asked:
        assert answer_string(execute(question.program, scene)[-1]) == question.answer
        assert equivalent(parse_question(question.question), question.program), question.question
        assert not unknown_words(question.question)


def test_closures_forms_stay_unseen_and_five_steps_suffice(asked):
    for _, question in asked:
        assert closure_form(question.program) is None
        assert len(reasoning_steps(question.program)[0]) <= MAX_STEPS


def shape(program):
    """What a program asks of which chains of relations, whatever the words."""
    steps, readers = reasoning_steps(program)
    links = tuple(
        ("relate" if step.operation in RELATIONS else step.operation.partition("_")[0], step.inputs) for step in steps
    )
    return question_type(program), links, readers


def test_no_composition_is_clevrs_own(asked):
    rng, generator = random.Random(0), QuestionGenerator(load_templates())
    clevrs = [question for scene in random_scenes(60) for question in generator.generate(scene, 90, rng)]
    own = {shape(question.program) for question in clevrs}
    assert len(own) > 15
    assert not own & {shape(question.program) for _, question in asked}


def test_families_are_used_evenly_and_a_seed_decides_their_words(asked):
    used = Counter(question.question_family_index for _, question in asked)
    assert len(used) == len(composed_templates())
    assert composed_templates(0) == composed_templates(0) != composed_templates(1)


def test_they_are_made_only_when_named():
    assert load_templates(families=["composition"]) == composed_templates()
    assert load_templates(families=["composition:3"]) == composed_templates()[3:4]
    assert not any(template.key[0] == "composition.json" for template in load_templates())
    with pytest.raises(InputError, match="composition:0 to composition:"):
        load_templates(families=["composition:999"])
