"""The cards of channels: right numbers, safe text, and models that lack something."""

import numpy as np
import pytest
from PIL import Image

from app.views.channels import atlas_table, channel_card, depth_card, strips
from vqa.explain.atlas import read_atlas
from vqa.explain.channel_weights import CHANNEL_WEIGHTS
from vqa.explain.concepts import CONCEPTS
from vqa.inference.answerer import VisualQuestionAnswerer
from vqa.model.presets import build_config, build_model, build_processor
from vqa.utils.resources import shipped

IMAGE = Image.new("RGB", (480, 320), "gray")
QUESTION = "What color is the <b>cube</b>?"


@pytest.fixture(scope="module")
def atlas():
    return read_atlas(shipped("checkpoints/film-qcse-clevr"))


def ask(tiny, preset, *extra):
    config = build_config(preset, (*tiny, *extra))
    return VisualQuestionAnswerer(build_model(config), build_processor(config)).ask(IMAGE, QUESTION)


@pytest.mark.parametrize(("preset", "kinds"), [("film-qcse-1", 3), ("film-base", 2), ("qcse", 1)])
def test_models_without_an_atlas_a_gate_or_film_show_what_they_have(tiny, preset, kinds):
    answer = ask(tiny, preset)
    shown = strips(QUESTION, answer, None, None)
    assert shown.count('class="strip ') == kinds * len(answer.weights)
    assert "<b>cube" not in shown
    card = channel_card(answer, IMAGE, np.zeros((4, 6)), 1, 3, None)
    assert "silent under this question" in card
    assert sum(kind.symbol in card for kind in CHANNEL_WEIGHTS.values()) == kinds
    assert "tracks" not in card


def test_sorted_strips_name_their_channels(tiny):
    answer = ask(tiny, "film-qcse-1")
    shown = strips(QUESTION, answer, None, "film_beta")
    order = [int(c) for c in shown.split('data-order="')[1].split('"')[0].split()]
    values = answer.weights["block_1"]["film_beta"]
    assert sorted(order) == list(range(16))
    assert (np.diff(values[order]) <= 0).all()


def test_what_a_channel_tracks_is_said_with_its_baseline(tiny, atlas):
    answer = ask(tiny, "film-base", "width=80", "num_blocks=5")
    channels = range(len(atlas.blocks[0].baseline))
    every = [(k, c) for k in range(5) for c in channels if atlas.blocks[k].active[c]]
    for tracks in (True, False):
        k, channel = next((k, c) for k, c in every if bool(atlas.blocks[k].concept(c)) is tracks)
        block = atlas.blocks[k]
        card = channel_card(answer, IMAGE, np.eye(4, 6), k + 1, channel, atlas)
        concept = block.concept(channel)
        assert (
            f"“{concept}”" if concept and concept != "asked for" else "no concept" if not concept else "asked"
        ) in card
        assert f"{block.areas[channel].max():.3f}" in card
        assert f"{block.baseline[channel]:.3f}" in card
        assert "at 1.00" in card
    dead = [(k, c) for k, b in enumerate(atlas.blocks) for c in channels if b.active[c] == 0]
    if dead:
        k, c = dead[0]
        assert "dead channel" in channel_card(answer, IMAGE, np.zeros((4, 6)), k + 1, c, atlas)


def test_the_table_has_every_channel_and_the_depths_add_up(atlas):
    table = atlas_table(atlas)
    assert table.count("<tr data-block") == sum(len(block.baseline) for block in atlas.blocks)
    assert all(
        f">{name}<" in table for name in {b.concept(c) for b in atlas.blocks for c in range(len(b.baseline))} - {None}
    )
    assert set(CONCEPTS) >= {b.concept(c) for b in atlas.blocks for c in range(len(b.baseline))} - {None}
    widths = [float(text.split("%")[0]) for text in depth_card(atlas).split('style="width:')[1:]]
    for k in range(len(atlas.blocks)):
        whole = 100 * sum(atlas.blocks[k].weights["film_gamma"].shares.values())  # 0 where nothing moves
        assert sum(widths[4 * k : 4 * k + 4]) == pytest.approx(whole, abs=0.3)
