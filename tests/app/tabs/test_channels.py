"""The tabs Channels and Where, in a real browser, on the shipped model with its atlas."""

import os

import numpy as np
import pytest
from PIL import Image

import vqa
from app.examples import load_examples
from app.tabs.channels import most_important, watched
from vqa.explain.atlas import read_atlas
from vqa.explain.channel_weights import open_channels
from vqa.explain.interventions import Scale, ask_with
from vqa.utils.images import load_image
from vqa.utils.resources import shipped

TAB = ".tab-wrapper button[role=tab]"


@pytest.fixture
def address(shipped_address):
    return shipped_address


@pytest.fixture(scope="module")
def atlas():
    return read_atlas(shipped("checkpoints/film-qcse-clevr"))


@pytest.fixture(scope="module")
def example():
    return load_examples()[0]


def open_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).first.click()


def values(page, block, row):
    """The channels that are drawn in a block's strip, and their values."""
    channels = page.locator(f"#channels-strips .channels[data-block='{block}']")
    shown = channels.locator(".strip").nth(row).get_attribute("data-values").split()
    return [int(text) for text in channels.get_attribute("data-order").split()], [float(text) for text in shown]


def test_channels_by_pointer_number_and_keyboard(open_page, atlas, example, tmp_path):
    page = open_page()
    answerer = vqa.load(device="cpu")
    question = example.questions[0]
    answer = answerer.ask(example.path, question)
    open_tab(page, "Channels")
    page.locator("#channels-card .channel").wait_for()
    gates = answer.weights["block_5"]["film_gamma"]
    usual = atlas.blocks[4].weights["film_gamma"].mean
    answer, maps = watched(answerer, load_image(example.path), question)
    width = answerer.model.config.trunk_width
    opened = np.flatnonzero(open_channels(answer, factored=True)[4]).tolist()
    assert 0 < len(opened) < width
    shut = sorted({*range(width)} - {*opened})
    silenced = ask_with(answerer, example.path, question, [Scale(5, shut, 0.0)])
    assert silenced.confidence == pytest.approx(answer.confidence, abs=1e-6)
    channels, shown = values(page, 5, 0)
    assert channels == opened
    drawn = page.locator("#blocks .channels[data-block='5']")
    assert [int(text) for text in drawn.get_attribute("data-order").split()] == opened
    assert (
        f"{len(opened)} of {width} channels are open"
        in page.locator("#blocks .stage", has=page.locator(".channels[data-block='5']")).text_content()
    )
    assert shown == pytest.approx((gates - usual)[opened].tolist(), abs=0.006)
    block, channel = most_important(answerer, load_image(example.path), question)
    page.locator("#channels-card h2", has_text=f"Channel {channel} of block {block}").wait_for()
    without = ask_with(answerer, example.path, question, [Scale(block, [channel], 0.0)])
    assert without.confidence < answer.confidence or without.answer != answer.answer
    assert without.answer in page.locator("#channels-card p", has_text="Switched off").inner_text()

    page.get_by_label("as it is").check()
    page.locator("#channels-strips .film_gamma:visible").first.wait_for()
    assert values(page, 5, 0)[1] == pytest.approx(gates[opened].tolist(), abs=0.006)
    page.get_by_label("by FiLM γ").check()  # noqa: RUF001
    page.wait_for_function(
        "() => { const v = document.querySelector('#channels-strips .film_gamma').dataset.values.split(' ');"
        " return v.every((x, i) => !i || Number(v[i - 1]) >= Number(x)); }"
    )
    loudest = max(opened, key=lambda c: gates[c])
    channels = page.get_by_role("slider", name="Channels of block 5")
    order = [int(text) for text in channels.get_attribute("data-order").split()]
    assert gates[order[0]] == gates[loudest]
    channels.focus()
    for key in ("Home", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.locator("#channels-card h2", has_text=f"Channel {order[1]} of block 5").wait_for()
    assert page.locator("#channels-block input").input_value() == "5"

    card = page.locator("#channels-card")
    channel = next(c for c in range(width) if atlas.blocks[4].concept(c) and atlas.blocks[4].active[c] < 1)
    page.locator("#channels-channel input").fill(str(channel))
    page.keyboard.press("Tab")
    card.locator("h2", has_text=f"Channel {channel} of block 5").wait_for()
    assert atlas.blocks[4].concept(channel) in card.inner_text()
    assert card.locator(".loudest img").count() == len(atlas.blocks[4].examples[channel])
    spatial = maps[4][channel]
    heard = f"{spatial.max():.2f}" if spatial.max() > 0 else "silent"
    assert heard in card.locator("figcaption").first.inner_text()

    table = page.locator("#channels-table")
    title = table.get_by_role("button", name="ROC area")
    title.click()
    title.click()
    areas = [float(text) for text in table.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert areas == sorted(areas, reverse=True)
    assert len(areas) == 6 * width
    first = table.locator("tbody tr").first
    chosen = first.get_attribute("data-block"), first.get_attribute("data-channel")
    first.get_by_role("button").click()
    card.locator("h2", has_text=f"Channel {chosen[1]} of block {chosen[0]}").wait_for()
    page.screenshot(path=os.environ.get("VQA_SCREENSHOTS", str(tmp_path)) + "/channels.png", full_page=True)


def test_where_follows_the_question_and_rings_what_is_meant(open_page, example, tmp_path):
    page = open_page()
    open_tab(page, "Where")
    page.locator("#where .evidence").first.wait_for()
    assert example.questions[0] in page.locator("#where .asked").inner_text()
    figures = page.locator("#where figure")
    assert figures.count() == 3 + 6
    assert "ringed" in figures.first.inner_text()
    assert "Grad-CAM" in figures.nth(2).inner_text()
    page.screenshot(path=os.environ.get("VQA_SCREENSHOTS", str(tmp_path)) + "/where.png", full_page=True)
    open_tab(page, "Ask")
    page.get_by_label("Question", exact=True).fill("Is this a giraffe?")
    open_tab(page, "Where")
    page.locator("#where .asked", has_text="giraffe").wait_for()
    assert "not in CLEVR's wording" in figures.first.inner_text()
    open_tab(page, "Ask")
    page.get_by_label("Question", exact=True).fill("?")
    open_tab(page, "Where")
    page.locator("#where [role=alert]").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(open_page, scheme, tmp_path):
    page = open_page(390, 844, scheme)
    for name, shown in (("Channels", "#channels-card .channel"), ("Where", "#where .evidence")):
        open_tab(page, name)
        page.locator(shown).first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.locator("img:not([alt]), img[alt='']").count() == 0
        out = os.environ.get("VQA_SCREENSHOTS", str(tmp_path))
        page.screenshot(path=f"{out}/{name.lower()}-phone-{scheme}.png", full_page=True)


def test_an_image_that_is_not_clevrs_warns_in_every_tab(open_page, tmp_path):
    page = open_page()
    odd = Image.effect_noise((480, 320), 120).convert("RGB")
    odd.save(tmp_path / "odd.png")
    page.get_by_label("Remove Image").first.click()
    page.locator('#picture input[type="file"]').first.set_input_files(tmp_path / "odd.png")
    page.locator("#answer .hint .warning", has_text="does not look like").wait_for()
    assert page.locator("#suggestions button").count() == 0
    page.get_by_label("Question", exact=True).first.fill("How many cubes are there?")
    for name, button, shown in (
        ("Ask", "#ask", "#answer"),
        ("Where", None, "#where"),
        ("Channels", None, "#channels-strips"),
        ("Intervene", None, "#intervene-result"),
        ("Compare", "#compare-go", "#compare-result"),
    ):
        open_tab(page, name)
        if button:
            page.wait_for_timeout(500)
            page.locator(button).click()
        page.locator(f"{shown} .warning", has_text="does not look like").first.wait_for()
