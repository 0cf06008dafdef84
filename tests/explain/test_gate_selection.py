"""Gates are told to select where they do, and not where they do not."""

import pytest

from vqa.clevr.language.parser import parse_question
from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.explain.faithfulness import Experiment
from vqa.explain.gate_selection import (
    AttributePairs,
    measure_concepts,
    measure_openings,
    measure_reliance,
    measure_swap,
    measure_variance,
    needs,
)
from vqa.explain.probe_set import gather_probe_set


@pytest.fixture(scope="module")
def experiment(mini):
    """The shipped model on eight images."""
    from vqa.inference.checkpoints import load_checkpoint

    model, processor = load_checkpoint(None, "cpu")
    return Experiment(model, processor, gather_probe_set(model, processor, mini, images=8, per_image=3, seed=0))


@pytest.fixture(scope="module")
def pairs(experiment):
    return AttributePairs.sample(experiment, 0, 60)


def test_pairs_differ_in_the_attribute_and_answers_are_the_objects(pairs):
    half = len(pairs.asked) // 2
    assert half == 60
    first, second = pairs.plain.probes.questions[:half], pairs.plain.probes.questions[half:]
    for one, other, (_, item, *_rest) in zip(first, second, pairs.pairs, strict=True):
        assert one.program[:-1] == other.program[:-1] != ()
        asked = [question.program[-1].function.removeprefix("query_") for question in (one, other)]
        assert asked[0] != asked[1]
        assert [one.answer, other.answer] == [getattr(item, name) for name in asked]


def test_an_attribute_is_unreadable_through_the_gates_of_another_question(pairs):
    found = measure_swap(pairs)
    assert found.own.value > 0.95
    assert found.swapped.value < found.majority + 0.1
    assert found.same_answer.value > 0.97
    assert sum(row.questions for row in found.by_attribute.values()) == found.questions == 2 * found.pairs


def test_open_gates_swapped_change_nothing(pairs, monkeypatch):
    """Where the gates of all questions are alike, the other's gates answer as well as one's own."""
    own = pairs.plain
    monkeypatch.setattr(own, "fix_gates", lambda weights: own.plain)
    found = measure_swap(pairs)
    assert found.swapped == found.own
    assert found.same_answer.value == 1


def test_answers_follow_the_asked_attribute_and_no_other(pairs):
    tables = measure_reliance(pairs)
    assert set(tables) == {"exchanged", "opened"}
    for name in ATTRIBUTES:
        row = tables["exchanged"][f"asks for {name}"]
        assert row[name].value > 0.9
        assert max(row[other].value for other in row if other != name) < 0.1
    assert tables["exchanged"]["counts by color"]["color"].value > 0.3


def test_the_question_alone_moves_an_input_gate(experiment):
    shares = measure_variance(experiment, 0)
    assert shares["picture"] + shares["both"] < 1e-6
    assert shares["type"] + shares["question"] == pytest.approx(1)


def test_open_channels_track_what_is_needed(experiment):
    found = measure_concepts(experiment, 0)
    assert [name for name, *_ in found.tracked] == [value for values in ATTRIBUTES.values() for value in values]
    assert found.diagonal > 0.95
    assert found.opened > 0.95
    kept = experiment.plain.weights
    experiment.plain.weights = 1 - kept
    try:
        assert measure_concepts(experiment, 0).diagonal < 0.05
    finally:
        experiment.plain.weights = kept


def test_needs_are_aligned_to_the_last_block():
    program = parse_question("What color is the big thing that is the same shape as the metal ball?")
    assert needs(program, 4) == [None, None, ["material", "shape"], ["size", "shape"], ["color"]]
    assert needs(parse_question("How many things are there?"), 2) == [None, [], []]


def test_what_is_shut_for_whole_questions(experiment):
    found = measure_openings(experiment)
    assert 0 < found.share < 0.35
    assert set(found.shut) == set(ATTRIBUTES)
    assert all(row[name] > 0.9 for name, row in found.by_attribute.items())
