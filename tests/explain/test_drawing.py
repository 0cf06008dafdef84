"""The drawings say what the numbers say."""

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vqa.clevr.vocabulary import ATTRIBUTES
from vqa.explain.drawing import Scale, data_uri, lit_places, object_light, shaded_words, strip
from vqa.inference.predicted_scene import PredictedScene, SeenObject

weights = st.lists(st.floats(-50, 50), min_size=1, max_size=64).map(np.array)


@given(st.lists(weights, min_size=1, max_size=5), st.floats(-2, 2))
def test_a_scale_reaches_past_nearly_all_weights_and_no_further_than_needed(values, centre):
    scale = Scale.fit(values, centre)
    distances = np.abs(np.concatenate(values) - centre)
    assert (distances <= scale.reach * 1.01).mean() >= 0.9 - 1 / len(distances)
    assert scale.reach <= max(distances.max() * 10, 0.01)


@given(st.floats(0.01, 100), st.floats(-100, 100), st.floats(-100, 100))
def test_strength_grows_with_the_value_and_stays_in_range(reach, one, other):
    scale = Scale(1.0, reach)
    low, high = sorted((one, other))
    assert -1 <= scale.strength(low) <= scale.strength(high) <= 1
    assert scale.strength(1.0) == 0


def test_a_strip_has_a_cell_for_each_channel_that_is_not_at_the_centre():
    svg = strip(np.array([1.0, 3.0, -1.0, 2.0]), Scale(1.0, 2.0))
    cells = re.findall(r'x="(\d)" class="(\w+)" opacity="([\d.]+)"', svg)
    assert cells == [("1", "up", "1"), ("2", "down", "1"), ("3", "up", "0.5")]
    assert 'viewBox="0 0 4 1"' in svg


@given(st.text(st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])))
def test_a_hostile_word_stays_text(text):
    class Reader(HTMLParser):
        tags, read = [], ""

        def handle_starttag(self, tag, attrs):
            Reader.tags.append(tag)

        def handle_data(self, data):
            Reader.read += data

    Reader.tags, Reader.read = [], ""
    reader = Reader(convert_charrefs=True)
    reader.feed(shaded_words([text], np.array([1.0])))
    reader.close()
    assert (Reader.tags, Reader.read) == (["p", "span"], text)


def test_words_are_as_dark_as_their_weights_and_unknown_ones_are_marked():
    html = shaded_words(["what", "<b>", "cube"], np.array([0.04, 0.0, 0.64]), ["<b>"])
    assert re.findall(r'(class="unknown")? style="--w:([\d.]+)"', html) == [
        ("", "0.20"),
        ('class="unknown"', "0.00"),
        ("", "0.80"),
    ]
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert 'aria-label="Words read most: cube 64%, what 4%, &lt;b&gt; 0%"' in html


def seen(*places):
    """Objects at these (x, y, cell), small and in the middle of the ground."""
    small = {name: np.eye(len(values))[-1] for name, values in ATTRIBUTES.items()}
    return PredictedScene(tuple(SeenObject(1.0, small, (0.0, 0.0), (x, y), (cell,)) for x, y, cell in places))


@pytest.mark.parametrize("size", [(480, 320), (32, 32), (4000, 2000)])
def test_objects_are_lit_where_the_map_is(size):
    image = Image.new("RGB", size, (200, 100, 50))
    spatial = np.zeros((16, 24), np.float32)
    objects = seen((0.25, 0.75, (12, 6)), (0.6, 0.2, (3, 14)))
    dark = np.asarray(lit_places(image, spatial, objects))
    assert dark.max() < 60
    spatial[12, 6] = 1.0
    lit = np.asarray(lit_places(image, spatial, objects))
    assert np.abs(lit[int(0.75 * lit.shape[0]), int(0.25 * lit.shape[1])].astype(int) - (200, 100, 50)).max() < 12
    assert (lit[: len(lit) // 2] == dark[: len(lit) // 2]).all()


def test_light_is_as_large_as_an_object():
    spatial = np.zeros((16, 24), np.float32)
    spatial[7, 12] = 0.5
    light = object_light(spatial, seen((0.5, 0.5, (7, 12))), 480, 320)
    assert light.max() == pytest.approx(0.5, abs=0.01)
    radius = 0.35 * 35 / 32 * 480 / 11.04
    assert light[160, int(240 + 0.4 * radius)] == pytest.approx(0.5 * np.exp(-0.5), abs=0.03)


@pytest.mark.parametrize("size", [(480, 320), (1, 900), (900, 1), (1, 1), (333, 3000)])
def test_drawings_are_small_whatever_the_image(size):
    drawn = lit_places(Image.new("RGB", size), np.ones((16, 24), np.float32), seen((0.5, 0.5, (8, 12))))
    assert 1 <= min(drawn.size) <= max(drawn.size) == 300


def test_a_data_uri_holds_the_image():
    uri = data_uri(Image.new("RGB", (30, 20), "red"))
    kind, _, data = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (30, 20)
