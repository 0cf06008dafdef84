"""What a visitor may set on the tab "Intervene"."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import vqa
from app.tabs.intervene import ALL, CHANNELS, CONCEPT, GATES, SWAP, interventions, parse_channels
from vqa.errors import InputError
from vqa.explain.interventions import Scale, SetFilm, SetGate

IMAGE = Image.new("RGB", (96, 64), "gray")


class Block:
    """Of an atlas: channels 1 and 3 track cyan."""

    baseline = range(16)

    def concept(self, channel):
        return "cyan" if channel in (1, 3) else None

    def channels_of(self, concept):
        return [channel for channel in self.baseline if self.concept(channel) == concept]


@pytest.fixture(scope="module")
def site(checkpoint):
    answerer = vqa.load(checkpoint, "cpu")
    return SimpleNamespace(answerer=answerer, atlas=SimpleNamespace(blocks=[Block()] * 5))


def settings(way, block="block 2", channels="0", concept="cyan", factor=0, gate=1, other="Is there a cube?"):
    return way, block, channels, concept, factor, gate, other


@given(st.sets(st.integers(0, 63), min_size=1))
def test_channels_are_read_as_they_were_written(channels):
    assert parse_channels(", ".join(map(str, channels)), 64) == sorted(channels)


def test_ranges():
    assert parse_channels("40-42 3;3, 41 - 43", 64) == [3, 40, 41, 42, 43]


@pytest.mark.parametrize("text", ["", " ,", "64", "5-3", "-1", "a", "1.5", "1-", "9" * 600, None, 7, ["1"], "٣"])
def test_what_is_no_list_of_channels(text):
    with pytest.raises(InputError, match="0 to 63"):
        parse_channels(text, 64)


def test_each_way(site):
    edits, said = interventions(site, IMAGE, *settings(CHANNELS, channels="1,2"))
    assert [(e.block, e.channels, e.factor) for e in edits if isinstance(e, Scale)] == [(2, [1, 2], 0.0)]
    edits, said = interventions(site, IMAGE, *settings(CONCEPT, ALL))
    assert [(e.block, e.channels) for e in edits if isinstance(e, Scale)] == [(k, [1, 3]) for k in range(1, 6)]
    assert said == "without “cyan”: 10 channels of all blocks"
    edits, _ = interventions(site, IMAGE, *settings(GATES, gate=0.5))
    assert [(e.block, e.weights) for e in edits if isinstance(e, SetGate)] == [(2, 0.5)]
    edits, said = interventions(site, IMAGE, *settings(SWAP))
    assert [e.block for e in edits if isinstance(e, SetFilm)] == [2]
    assert "Is there a cube?" in said


@pytest.mark.parametrize(
    "wrong",
    [
        settings("everything"),
        settings(None),
        settings(CHANNELS, block="block 6"),
        settings(CHANNELS, block="block 0"),
        settings(CHANNELS, block=3),
        settings(CHANNELS, factor=float("nan")),
        settings(CHANNELS, factor=1e9),
        settings(CHANNELS, factor="0"),
        settings(CONCEPT, concept="mauve"),
        settings(CONCEPT, concept=None),
        settings(GATES, gate=2),
        settings(SWAP, other=""),
        settings(SWAP, other=7),
    ],
)
def test_what_makes_no_sense_is_told(site, wrong):
    with pytest.raises(InputError):
        interventions(site, IMAGE, *wrong)
