"""What a browser says it kept of a visit is checked before it is shown."""

import json
from types import SimpleNamespace

import gradio as gr
import pytest

import vqa
from app.examples import load_examples
from app.tabs.ask import AskTab

ENTRY = {"path": "/etc/passwd", "name": "x.png", "example": None, "question": "Is there a cube?", "answer": "yes"}
REQUEST = SimpleNamespace(session_hash="visit")


@pytest.fixture(scope="module")
def tab(checkpoint):
    tab = AskTab(vqa.load(checkpoint, "cpu"), load_examples())
    with gr.Blocks(analytics_enabled=False) as demo:
        tab.build(demo)
    return tab


@pytest.mark.parametrize(
    "saved",
    [
        *(None, 7, "", "{", "[]", "null", '{"visit": 3}', '{"visit": {"a": 1}}', '{"visit": [3]}', '{"link": 3}'),
        *('{"link": "?example=1.5"}', '{"link": "?example=99999999999999999999"}', "x" * 300_000),
        json.dumps({"visit": [ENTRY]}),
        json.dumps({"visit": [ENTRY | {"path": "a\0b"}, ENTRY | {"question": 3}, ENTRY | {"question": "x" * 5000}]}),
        json.dumps({"visit": [ENTRY | {"example": True}, ENTRY | {"example": -1}, ENTRY | {"example": "0"}]}),
    ],
)
def test_what_is_no_visit_changes_nothing(tab, saved):
    assert tab.on_load(saved, REQUEST) == {tab.answer: gr.skip()}


def test_a_visit_and_a_link_are_taken_up(tab):
    shown = tab.on_load(json.dumps({"visit": [ENTRY | {"example": 2}]}), REQUEST)
    assert [entry.example for entry in shown[tab.asked]] == [2]
    assert shown[tab.question] == ENTRY["question"]
    shown = tab.on_load(json.dumps({"link": "?example=1&question=Is+there+a+sphere%3F"}), REQUEST)
    assert shown[tab.question] == "Is there a sphere?"
    assert str(load_examples()[1].path) == shown[tab.image]["value"]


def test_an_event_that_is_late_shows_nothing(tab):
    def work():
        tab.turns.begin("visit")
        return {tab.answer: "late"}

    assert tab._unless_late(REQUEST, work) == {tab.answer: gr.skip()}
