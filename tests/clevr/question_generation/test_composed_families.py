"""The question families beyond CLEVR's: well-posed, in its language, and without CLOSURE's seven forms."""

import itertools
import random
from collections import Counter

import pytest
from scene_strategies import batch_questions, random_scenes

from vqa.clevr.language.parser import parse_question, unknown_words
from vqa.clevr.programs import MAX_STEPS, answer_string, equivalent, execute, question_type, reasoning_steps
from vqa.clevr.question_generation.composed_families import (
    composed_templates,
    long_unlike_templates,
    unlike_templates,
)
from vqa.clevr.question_generation.families import load_templates
from vqa.clevr.question_generation.generate_questions import Balance, QuestionGenerator
from vqa.clevr.split_protocols import closure_form
from vqa.clevr.vocabulary import RELATIONS
from vqa.errors import InputError

SETS = {"composition": composed_templates(), "new": unlike_templates(), "long": long_unlike_templates()}


def questions_of(templates, at_once=False):
    if at_once:
        return batch_questions(templates, random_scenes(150), 12)
    rng, balance, generator = random.Random(0), Balance(), QuestionGenerator(templates)
    return [
        (scene, question) for scene in random_scenes(150) for question in generator.generate(scene, 12, rng, balance)
    ]


@pytest.fixture(scope="module", params=itertools.product(SETS, (False, True)))
def asked(request):
    name, at_once = request.param
    return questions_of(SETS[name], at_once)


def test_every_question_has_its_answer_and_parses_to_its_program(asked):
    assert len(asked) > 900
    for scene, question in asked:
        assert answer_string(execute(question.program, scene)[-1]) == question.answer
        assert equivalent(parse_question(question.question), question.program), question.question
        assert not unknown_words(question.question)


def test_closures_forms_stay_unseen(asked):
    for _, question in asked:
        assert closure_form(question.program) is None
        assert closure_form(parse_question(question.question)) is None


def test_five_steps_suffice_but_for_the_long_ones(asked):
    for _, question in asked:
        limit = MAX_STEPS + (question.template_filename == "composition-long.json")
        assert len(reasoning_steps(question.program)[0]) <= limit
        assert len(reasoning_steps(parse_question(question.question))[0]) <= limit


@pytest.mark.parametrize("name", ["new", "long"])
def test_unlike_phrases_are_joined_in_both_orders(name):
    orders = Counter()
    for _, question in questions_of(SETS[name]):
        steps, _ = reasoning_steps(question.program)
        joined = next(step for step in steps if step.operation == "intersect")
        kinds = tuple(steps[i].operation.startswith("same") for i in joined.inputs)
        assert sorted(kinds) == [False, True]
        orders[kinds, "same" in question.question.partition(" and ")[0].rpartition(" both ")[2]] += 1
    assert min(orders[(True, False), False], orders[(False, True), True]) > 200


def test_unlike_pairs_weigh_as_much_as_like_ones():
    like = [template for template in composed_templates() if any(n.operation == "intersect" for n in template.nodes)]
    assert len(like) == len(unlike_templates()) == 36


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
    templates = next(made for made in SETS.values() if made[0].key[0] == asked[0][1].template_filename)
    assert len(used) == len(templates)
    for make in (composed_templates, unlike_templates, long_unlike_templates):
        assert make(0) == make(0) != make(1)


def test_they_are_made_only_when_named():
    assert load_templates(families=["composition"]) == composed_templates()
    assert load_templates(families=["composition:3"]) == composed_templates()[3:4]
    assert load_templates(families=["composition-2"]) == (*composed_templates(), *unlike_templates())
    assert load_templates(families=["composition-long"]) == long_unlike_templates()
    assert not any(template.key[0] == "composition.json" for template in load_templates())
    with pytest.raises(InputError, match="composition:0 to composition:"):
        load_templates(families=["composition:999"])
