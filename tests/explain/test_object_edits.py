"""Objects hidden, changed and attended to: the shipped model follows, and is itself untouched."""

import pytest

import vqa
from vqa.errors import InputError
from vqa.explain.object_edits import ChangeObject, SetAttention, ask_edited, edit_objects
from vqa.utils.resources import shipped

IMAGE = shipped("data/clevr-mini/images/val/CLEVR_val_000000.jpg")


@pytest.fixture(scope="module")
def answerer():
    return vqa.load(device="cpu")


def test_a_hidden_object_is_not_counted_and_not_seen(answerer):
    before = answerer.ask(IMAGE, "How many things are there?")
    objects = before.scene.objects
    for item in objects:
        after = ask_edited(answerer, IMAGE, before.question, [ChangeObject(item)])
        assert int(after.answer) == int(before.answer) - 1
        assert len(after.scene.objects) == len(objects) - 1
    assert answerer.ask(IMAGE, before.question).answer == before.answer


@pytest.mark.parametrize(("attribute", "value"), [("color", "cyan"), ("size", "small"), ("material", "metal")])
def test_a_changed_object_is_read_as_changed(answerer, attribute, value):
    before = answerer.ask(IMAGE, "What color is the large cube?")
    (cube,) = before.attended[-1]
    question = f"What {attribute} is the cube right of the green cube?"
    after = ask_edited(answerer, IMAGE, question, [ChangeObject(before.scene.objects[cube], attribute, value)])
    assert after.answer == value
    assert answerer.ask(IMAGE, question).answer != value


def test_attention_moved_to_another_object_moves_the_answer(answerer):
    before = answerer.ask(IMAGE, "What color is the large cube?")
    (cube,) = before.attended[-1]
    last = len(before.blocks)
    away = SetAttention(last, before.scene.objects[cube], False)
    moved = [
        ask_edited(answerer, IMAGE, before.question, [away, SetAttention(last, item, True)]).answer
        for item in before.scene.objects
    ]
    assert moved[cube] == before.answer
    follows = [said == item.value("color") for said, item in zip(moved, before.scene.objects, strict=True)]
    assert sum(follows) > len(follows) / 2  # the head reads the trunk's features too
    assert len(set(moved)) > 2


def test_images_are_encoded_as_before(answerer):
    fresh = vqa.load(device="cpu")
    seen = answerer.ask(IMAGE, "How many things are there?").scene.objects
    ask_edited(fresh, IMAGE, "How many things are there?", [ChangeObject(item) for item in seen])
    assert int(fresh.ask(IMAGE, "How many things are there?").answer) == len(seen)


def test_a_model_that_sees_no_objects_is_refused(tiny):
    from vqa.model.presets import build_config, build_model

    model = build_model(build_config("qcse", tiny))
    with pytest.raises(InputError, match="no object attention"):
        edit_objects(model, [])
