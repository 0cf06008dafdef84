"""Intervene, Compare, Compose and Results, in a real browser on the real server."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

import vqa
from app.examples import load_examples
from vqa.explain.interventions import Scale, ask_with
from vqa.utils.resources import shipped

GENUINE = Path(__file__).parents[4] / "shared/clevr-genuine-dev/images/train/CLEVR_train_000006.png"
IMAGE = GENUINE if GENUINE.exists() else shipped("data/clevr-mini/images/val/CLEVR_val_000003.jpg")


def choose_tab(page, name):
    page.get_by_role("tab", name=name, exact=True).click()


def upload(page, path):
    page.get_by_label("Remove Image").first.click()
    page.locator('#picture input[type="file"]').first.set_input_files(path)
    page.locator("#answer .hint", has_text="your picture").wait_for()


def shoot(page, name, tmp_path):
    """Screenshots of what a desktop and a phone show; fails where a phone would have to scroll sideways."""
    folder = os.environ.get("VQA_SCREENSHOTS", str(tmp_path))
    page.screenshot(path=f"{folder}/{name}.png", full_page=True)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("document.documentElement.scrollWidth <= 390")
    page.screenshot(path=f"{folder}/{name}-phone.png", full_page=True)


def test_intervene(open_page, checkpoint, tmp_path):
    page = open_page()
    upload(page, IMAGE)
    question = "What color is the cylinder that is right of the brown thing?"
    page.get_by_label("Question", exact=True).fill(question)
    choose_tab(page, "Intervene")
    cards = page.locator("#intervene-result .pair article")
    cards.nth(1).wait_for()
    undo = page.locator("#intervene-result [data-do=undo]")
    if undo.count():
        undo.first.click()
    cards.nth(1).locator("h2", has_text="Nothing changed").wait_for()
    page.locator("#off-channels textarea, #off-channels input").fill("2, 5-7")
    page.locator("#off").click()
    cards.nth(1).locator("h2", has_text="block 5 without channels 2, 5-7").wait_for()
    answerer = vqa.load(checkpoint, "cpu")
    before = answerer.ask(IMAGE, question)
    after = ask_with(answerer, IMAGE, question, [Scale(5, [2, 5, 6, 7], 0.0)])
    assert cards.locator(".said strong").all_inner_texts() == [before.answer, after.answer]
    names = cards.nth(1).locator(".bars li > span:first-child").all_inner_texts()
    assert names == [name for name, _ in after.top_answers]
    page.locator("#off-channels textarea, #off-channels input").fill("99")
    page.locator("#off").click()
    page.locator("#intervene-result [role=alert]", has_text="0 to 15").wait_for()
    page.locator("#borrow-FiLM").click()
    cards.nth(1).locator("h2", has_text="FiLM of “How many things are there?”").wait_for()
    shoot(page, "intervene", tmp_path)


def test_compare_two_questions_and_two_models(open_page, tmp_path):
    page = open_page()
    upload(page, IMAGE)
    choose_tab(page, "Compare")
    page.locator("#compare-right-picture img").wait_for()
    left, right = page.get_by_label("Left question"), page.get_by_label("Right question")
    assert left.input_value() == load_examples()[0].questions[0]
    left.fill("How many cubes are there?")
    right.fill("What color is the sphere?")
    page.locator("#compare-go").click()
    cards = page.locator("#compare-result .pair article")
    cards.nth(1).wait_for()
    assert cards.locator(".asked").all_inner_texts() == ["How many cubes are there?", "What color is the sphere?"]
    assert page.locator("#compare-result .numbers tr").count() == 13
    shoot(page, "compare", tmp_path)
    page.get_by_label("Right model").click()
    page.get_by_role("option", name="film-qcse-clevr").click()
    page.locator("#compare-go").click()
    cards.nth(1).locator("h2", has_text="film-qcse-clevr").wait_for()
    right.fill("")
    page.locator("#compare-go").click()
    page.locator("#compare-result [role=alert]", has_text="right: question").wait_for()


def test_compose_by_pointer_and_by_keyboard(open_page, tmp_path):
    page = open_page()
    choose_tab(page, "Compose")
    things = page.locator(".plan .thing")
    things.first.wait_for()
    count = things.count()
    page.locator("#compose-add").click()
    page.locator(f'.plan .thing.chosen[data-index="{count}"]').wait_for()
    assert things.count() == count + 1
    page.locator("#plan .fine").wait_for()
    added = page.locator(f'.plan .thing[data-index="{count}"]')
    wanted = [page.locator(f"#compose-{name} input").input_value() for name in ("size", "color", "material", "shape")]
    assert " ".join(wanted) in added.get_attribute("aria-label")
    page.get_by_label("Color", exact=True).click()
    page.get_by_role("option", name="cyan").click()
    page.locator(f'.plan .thing[data-index="{count}"][aria-label*="cyan"]').wait_for()
    before = added.get_attribute("transform")
    added.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([i, old]) => document.querySelector(`.thing[data-index='${i}']`).getAttribute('transform') !== old",
        arg=[count, before],
    )
    assert page.evaluate("document.activeElement.dataset.index") == str(count)
    first = page.locator('.plan .thing[data-index="0"]').bounding_box()
    page.mouse.click(first["x"] + first["width"] / 2, first["y"] + first["height"] / 2)
    page.locator('.plan .thing.chosen[data-index="0"]').wait_for()
    corner = page.locator(".plan").bounding_box()
    page.mouse.click(corner["x"] + 12, corner["y"] + 12)
    page.locator("#plan .faults", has_text="off the ground").wait_for()
    page.locator("#compose-render").click()
    page.locator("#compose-progress [role=alert]").wait_for()
    page.locator("#compose-remove").click()
    page.locator("#plan .fine").wait_for()
    page.get_by_label("Question", exact=True).last.fill("How many cyan things are there?")
    page.locator("#compose-ask").click()
    page.locator("#compose-answer article", has_text="True of the scene").locator("strong", has_text="1").wait_for()
    page.locator("#compose-prepared button").nth(2).click()
    page.locator("#compose-answer article", has_text="The model says").wait_for()
    assert page.locator("#compose-answer .warning", has_text="changed since").count() == 0
    assert page.locator("#plan .sketch svg polygon").count() > 0
    shoot(page, "compose", tmp_path)
    page.locator("#compose-take").click()
    page.locator("#answer .asked", has_text="How many cyan things are there?").wait_for()
    assert load_examples()[2].path.name in page.locator("#picture img").get_attribute("src")


def test_results(open_page, tmp_path):
    page = open_page()
    choose_tab(page, "Results")
    page.locator("#results-overview .numbers tr").nth(1).wait_for()
    assert "film-qcse-clevr" in page.locator("#results-overview").inner_text()
    frame = page.frame_locator("#results-report iframe")
    page.get_by_label("Report", exact=True).click()
    page.get_by_role("option", name="genuine_CLEVR", exact=False).last.click()
    frame.locator("h1", has_text="Evaluation on").wait_for()
    assert frame.locator("table").count() > 3
    shoot(page, "results", tmp_path)


@pytest.mark.slow
def test_a_composed_scene_is_rendered_and_asked_about(open_page, tmp_path):
    page = open_page()
    choose_tab(page, "Compose")
    page.locator(".plan .thing").first.wait_for()
    page.locator("#compose-render").click()
    page.locator("#compose-progress", has_text="at work").wait_for()
    page.locator("#compose-progress", has_text="Rendered").wait_for(timeout=200_000)
    page.locator("#compose-fitting button").nth(1).click()
    page.wait_for_timeout(500)
    page.locator("#compose-ask").click()
    page.locator("#compose-answer article", has_text="The model says").wait_for()
    source = page.locator("#compose-picture img").get_attribute("src")
    image = Image.open(io.BytesIO(page.request.get(source).body()))
    assert image.size == (480, 320)
    shoot(page, "compose-rendered", tmp_path)
