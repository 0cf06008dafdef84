"""Scenes by hand: the plan, the true answer, and Blender under a clock."""

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.examples import true_answer
from app.render_job import render_watched
from app.tabs.compose import free_object
from app.views.scene_plan import draw_plan, placed, to_plan
from vqa.clevr.annotations import iter_questions, questions_path, read_scenes, scenes_path
from vqa.clevr.image_generation.sample_scenes import Layout, annotate, placement_issues, sample_layout
from vqa.errors import InputError
from vqa.utils.resources import shipped

SCENE = sample_layout(0, "val", 3).scene


@given(st.floats(-4, 4), st.floats(-4, 4))
def test_a_place_on_the_plan_is_a_place_in_the_scene(right, front):
    item = placed(SCENE.objects[0], right, front)
    assert to_plan(item) == pytest.approx((right, front), abs=1e-6)


def test_right_on_the_plan_is_right_in_the_scene_and_down_is_front():
    near, far = (placed(SCENE.objects[0], *at) for at in ((1, 1), (-1, -1)))
    scene = annotate([near, far])
    assert scene.relationships["right"][1] == [0]
    assert scene.relationships["front"][1] == [0]


@pytest.mark.parametrize("index", range(8))
def test_sampled_scenes_break_no_rule(index):
    layout = sample_layout(0, "val", index)
    assert placement_issues(layout.scene.objects, layout.camera) == []


def test_each_rule_names_its_objects():
    item = SCENE.objects[0]
    apart = [placed(item, 0, 0), placed(item, 2, 1)]
    assert placement_issues(apart) == []
    assert placement_issues([apart[0], placed(item, 0.3, 0.3)]) == [("are too close to each other", {0, 1})]
    assert [about for _, about in placement_issues([apart[0], placed(item, 2.5, 0.1)])] == [{0, 1}]
    assert placement_issues([placed(item, 9, 0)]) == [("is off the ground", {0})]
    hidden = [placed(replace(item, size="large"), 0.5, 1.2), placed(replace(item, size="small"), 0, -0.1)]
    assert [what for what, _ in placement_issues(hidden)] == ["can hardly be seen"]
    assert "at most 10" in placement_issues([placed(item, k, k) for k in range(11)])[0][0]


def test_true_answers_are_those_of_the_questions_file():
    root = shipped("data/clevr-mini")
    scenes = read_scenes(scenes_path(root, "val"))
    for question in list(iter_questions(questions_path(root, "val")))[:40]:
        assert true_answer(question.question, scenes[question.image_filename])[0] == question.answer


def test_the_true_side_reads_what_the_model_side_reads():
    said = true_answer("how many ojects are there", SCENE)
    assert said == true_answer("How many objects are there?", SCENE) == (str(len(SCENE.objects)), "")


@pytest.mark.parametrize(
    "question", ["What color is the giraffe?", "How many?", "", "<b>?", "What color is the thing?"]
)
def test_questions_without_a_true_answer_say_why(question):
    truth, why = true_answer(question, SCENE)
    assert truth is None
    assert why


def test_the_plan_names_every_object_for_those_who_cannot_see_it():
    drawn = draw_plan(SCENE.objects, 1, {0})
    assert drawn.count('role="button"') == len(SCENE.objects)
    assert "breaks a rule" in drawn
    assert drawn.count('aria-pressed="true"') == 1


def test_a_new_object_has_the_attributes_asked_for_and_a_place_of_its_own():
    wanted = {"size": "large", "color": "cyan", "material": "metal", "shape": "sphere"}
    item = free_object(SCENE.objects, wanted)
    assert {name: getattr(item, name) for name in wanted} == wanted
    assert placement_issues((*SCENE.objects, item)) == []


def fake_blender(tmp_path, body):
    path = tmp_path / "blender"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_blender_that_takes_too_long_is_stopped(tmp_path):
    start = time.monotonic()
    with pytest.raises(InputError, match="more than 1 s"):
        list(render_watched(Layout(SCENE), fake_blender(tmp_path, "sleep 60"), seconds=1))
    assert time.monotonic() - start < 20


def test_a_blender_that_fails_or_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="Blender"):
        list(render_watched(Layout(SCENE), fake_blender(tmp_path, "exit 3")))
    with pytest.raises(InputError, match="no such program"):
        list(render_watched(Layout(SCENE), "/no/blender"))


@pytest.mark.slow
def test_blender_renders_the_scene():
    *ticks, image = render_watched(Layout(SCENE))
    assert ticks
    assert isinstance(image, Image.Image)
    assert image.size == (480, 320)
