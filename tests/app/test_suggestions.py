"""Questions that fit an image, and how wording goes on."""

import random
from html.parser import HTMLParser

import pytest

from app.suggestions import (
    ANY_IMAGE,
    MAX_WORDS,
    completion,
    followers,
    one_of_each,
    questions_about,
    suggestions,
    suggestions_for,
)
from vqa.clevr.image_generation.sample_scenes import sample_layout
from vqa.clevr.language.parser import parse_question
from vqa.clevr.programs import answer_string, execute
from vqa.clevr.scenes import Scene


@pytest.mark.parametrize("index", [0, 1, 2])
def test_questions_about_a_scene_have_answers_there(index):
    scene = sample_layout(0, "val", index).scene
    questions = questions_about(scene)
    assert len(questions) > 10
    assert questions == questions_about(scene)
    for question in questions:
        assert answer_string(execute(parse_question(question.question), scene)[-1]) == question.answer
    chosen = one_of_each(questions)
    assert len({question.type for question in questions if question.question in chosen}) == len(chosen) >= 4


@pytest.mark.parametrize("scene", [None, Scene((), {}), Scene(sample_layout(0, "val", 0).scene.objects[:1], {})])
def test_a_image_that_is_not_understood_gets_questions_for_any(scene):
    assert questions_about(scene) == []
    assert all(question in suggestions_for(scene).replace("&quot;", "") for question in ANY_IMAGE)


@pytest.mark.parametrize("index", range(6))
def test_questions_for_any_image_presuppose_nothing(index):
    scene = sample_layout(0, "val", index).scene
    for question in ANY_IMAGE:
        assert answer_string(execute(parse_question(question), scene)[-1])
        assert len(question.split()) <= MAX_WORDS


def test_words_are_followed_by_those_that_follow_them_most():
    found = followers(["Is there a cube?", "Is there a red cube?", "Is there a red ball?", "How big is it?"])
    assert found[""] == ["is", "how"]
    assert found["there a"] == ["red", "cube"]
    assert found["is"] == ["there", "it"]
    assert found["red"] == ["cube", "ball"]
    assert found["is it"] == ["?"]


def test_html_and_quotes_in_questions_stay_text():
    class Reader(HTMLParser):
        tags: set = set()  # noqa: RUF012

        def handle_starttag(self, tag, attrs):
            self.tags.add(tag)

    evil = "\"><img src=x onerror=alert(1)>'<script>"
    reader = Reader()
    reader.feed(suggestions([evil], [evil]) + completion([evil], [evil]))
    assert reader.tags <= {"div", "button", "ul", "p"}


def test_the_same_scene_gives_the_same_questions_whatever_random_was_before():
    scene = sample_layout(0, "val", 5).scene
    random.seed(1)
    first = suggestions_for(scene)
    random.seed(2)
    assert suggestions_for(scene) == first
