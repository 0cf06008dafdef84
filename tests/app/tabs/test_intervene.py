"""What a visitor may change on the tab "Intervene"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vqa
from app.examples import load_examples
from app.tabs.intervene import Edits, asked_with, opening, parse_channels, pressed, told
from app.views.intervene import intervene_section
from vqa.errors import InputError
from vqa.explain.interventions import gates_of
from vqa.utils.images import load_image

EXAMPLE = load_examples()[0]
QUESTION = "What color is the big cube?"


@pytest.fixture(scope="module")
def answerer():
    return vqa.load(device="cpu")


@pytest.fixture(scope="module")
def before(answerer):
    return answerer.ask(EXAMPLE.path, QUESTION)


def ask(answerer, before, **presses):
    edits = Edits("", QUESTION)
    for data in presses.values():
        edits = pressed(edits, before, data)
    return edits, asked_with(answerer, load_image(EXAMPLE.path), edits, before)


@given(st.sets(st.integers(0, 63), min_size=1))
def test_channels_are_read_as_they_were_written(channels):
    assert parse_channels(", ".join(map(str, channels)), 64) == sorted(channels)


def test_ranges():
    assert parse_channels("40-42 3;3, 41 - 43", 64) == [3, 40, 41, 42, 43]


@pytest.mark.parametrize("text", ["", " ,", "64", "5-3", "-1", "a", "1.5", "1-", "9" * 600, None, 7, ["1"], "٣"])
def test_what_is_no_list_of_channels(text):
    with pytest.raises(InputError, match="0 to 63"):
        parse_channels(text, 64)


@pytest.mark.parametrize("example", load_examples()[::3])
def test_the_opening_edit_changes_the_answer(answerer, example):
    image, question = load_image(example.path), example.questions[0]
    before = answerer.ask(image, question)
    edits = opening(answerer, image, Edits("", question), before)
    assert len(edits.changes) == 1
    assert asked_with(answerer, image, edits, before).answer != before.answer


def test_presses_change_what_is_seen_attended_to_and_read(answerer, before):
    cube = str(before.attended[-1][0])
    assert before.answer == "brown"
    red = {"do": "set", "object": cube, "attribute": "color", "value": "red"}
    edits, after = ask(answerer, before, red=red)
    assert after.answer == "red"
    assert told(edits, before)[0].endswith("of color red")
    assert pressed(edits, before, red).changes == {}
    assert ask(answerer, before, hide={"do": "hide", "object": cube})[1].premise.status == "absent"
    last, other = str(len(before.blocks)), str(1 - int(cube)) if int(cube) < 2 else "0"
    away = {"do": "attend", "block": last, "object": cube, "value": "0"}
    there = away | {"object": other, "value": "1"}
    _, moved = ask(answerer, before, away=away, there=there)
    assert moved.answer != before.answer
    shut = {"do": "gate", "block": str(len(before.blocks) + 1), "group": "color", "value": "0"}
    edits, blind = ask(answerer, before, shut=shut)
    assert blind.head_gate[2:10].max() == 0
    assert blind.confidence < before.confidence
    assert pressed(edits, before, shut | {"value": "1"}).changes == {}
    assert (
        pressed(edits, before, {"do": "reset"}).changes == pressed(edits, before, {"do": "undo", "number": "0"}).changes
    )


def test_another_questions_gates_and_channels_off(answerer, before):
    image = load_image(EXAMPLE.path)
    edits = Edits("", QUESTION, {("borrow", "gates"): "How many things are there?"})
    after = asked_with(answerer, image, edits, before)
    lent = answerer.ask(image, "How many things are there?")
    assert [edit.weights.tolist() for edit in gates_of(after)] == [edit.weights.tolist() for edit in gates_of(lent)]
    edits = Edits("", QUESTION, {("off", "6"): "0-63", ("borrow", "FiLM"): "Is there a cube?"})
    assert asked_with(answerer, image, edits, before).answer
    assert "block 6 without channels 0-63" in told(edits, before)


def test_the_section_shows_every_object_for_every_used_block(answerer, before):
    shown = intervene_section(load_image(EXAMPLE.path), QUESTION, before, before, {}, 0, [])
    objects, used = len(before.scene.objects), sum(block.step.operation != "none" for block in before.blocks)
    assert shown.count('data-do="choose"') == objects
    assert shown.count('data-do="attend"') == objects * used
    assert shown.count('data-do="gate"') == 4 * (used + 1)


@pytest.mark.parametrize(
    "data",
    [
        *(None, 3, {}, {"do": "fly"}, {"do": "hide"}, {"do": "hide", "object": "99"}, {"do": "undo", "number": "0"}),
        *({"do": "hide", "object": "٣"}, {"do": "attend", "block": "0", "object": "0"}, {"do": "choose", "object": -1}),
        {"do": "set", "object": "0", "attribute": "color", "value": "mauve"},
        {"do": "set", "object": "0", "attribute": "<b>", "value": "red"},
        {"do": "gate", "block": "9", "group": "color"},
        {"do": "gate", "block": "1", "group": "taste"},
    ],
)
def test_what_is_not_on_the_page_is_refused(before, data):
    with pytest.raises(InputError):
        pressed(Edits("", QUESTION), before, data)
