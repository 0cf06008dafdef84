"""A newcomer's path on the shipped model: an example, its why, what changes it, and an image of one's own."""

import os

import pytest
from PIL import Image

from app.examples import load_examples
from vqa.clevr.language import parse_question
from vqa.explain.object_regions import find_referents
from vqa.utils.resources import shipped

OWN = shipped("data/clevr-mini/images/train/CLEVR_train_000001.jpg")


@pytest.fixture
def address(shipped_address):
    return shipped_address


def ask(page, question):
    page.get_by_label("Question", exact=True).first.fill(question)
    page.get_by_role("button", name="Ask", exact=True).first.click()
    page.locator("#answer .asked", has_text=question).first.wait_for()


def upload(page, path):
    page.get_by_label("Remove Image").first.click()
    page.locator('#picture input[type="file"]').first.set_input_files(path)
    page.locator("#answer .hint").wait_for()


def said(page):
    return page.locator("#intervene-result .said strong").all_inner_texts()


def test_open_click_read_why_intervene_and_ask_about_an_own_image(open_page, tmp_path):
    page = open_page()
    example = load_examples()[5]
    page.locator("#gallery button").nth(5).click()
    page.locator("#answer .asked", has_text=example.questions[0]).wait_for()
    answer = page.locator("#answer .said strong").inner_text()
    assert page.locator("#answer .because").inner_text().rstrip(".").endswith(answer)
    assert answer in page.locator("#answer .truth").inner_text()
    assert page.locator("#seen .seen").count() == len(example.scene.objects)
    assert "all as they are" in page.locator("#seen summary").inner_text()
    ring = page.locator("#seen .seen.read .ring").bounding_box()
    picture = page.locator("#picture img").bounding_box()
    x, y, _ = example.scene.objects[_read(example)].pixel_coords
    assert abs(ring["x"] + ring["width"] / 2 - picture["x"] - x / 480 * picture["width"]) < 8
    assert abs(ring["y"] + ring["height"] / 2 - picture["y"] - y / 320 * picture["height"]) < 8

    page.get_by_role("tab", name="Intervene", exact=True).click()
    page.locator("#intervene-result .pair article").nth(1).wait_for()
    one, other = said(page)
    assert one == answer != other
    page.locator("#intervene-result [data-do=undo]").click()
    page.locator("#intervene-result h2", has_text="Nothing changed").wait_for()
    assert said(page) == [answer, answer]
    page.locator("#intervene-result [data-do=choose][data-object='0']").dispatch_event("click")
    page.locator("#intervene-result .scene h2", has_text="1: ").wait_for()
    page.locator("#intervene-result [data-do=set][data-value=gray]").click()
    page.locator("#intervene-result .pair h2", has_text="of color gray").wait_for()
    gate = page.locator("#intervene-result [data-do=gate]").last
    gate.click()
    page.locator("#intervene-result .gates .forced").wait_for()

    page.get_by_role("tab", name="Channels", exact=True).click()
    page.locator("#channels-card p", has_text="Switched off").wait_for()
    page.locator("#channels-strips [data-do=gate]").last.click()
    page.locator("#channels-forced .pair article").nth(1).wait_for()

    page.get_by_role("tab", name="Ask", exact=True).click()
    upload(page, OWN)
    page.locator("#seen .seen").nth(2).wait_for()
    ask(page, "How many things are there?")
    assert page.locator("#answer .said strong").inner_text() == str(page.locator("#seen .seen").count())
    page.locator("#answer .because").wait_for()
    ask(page, "What color is the tiny metal thing that is left of the tiny metal thing right of the tiny metal thing?")
    page.locator("#answer .warning", has_text="no answer here").wait_for()
    page.screenshot(path=os.environ.get("VQA_SCREENSHOTS", str(tmp_path)) + "/newcomer.png", full_page=True)


def _read(example):
    """The object whose attribute the example's first question asks for."""

    return find_referents(parse_question(example.questions[0]), example.scene, 6).answer[0]


def test_a_scene_within_a_page_is_cropped_out_and_answered(open_page, tmp_path):
    page = open_page()
    example = load_examples()[3]
    sheet = Image.effect_noise((1000, 1000), 120).convert("RGB")
    sheet.paste(Image.open(example.path), (260, 500))
    sheet.save(tmp_path / "page.png")
    upload(page, tmp_path / "page.png")
    page.locator("#answer .hint .warning", has_text="press “Crop”").wait_for()
    page.locator("#seen .to-crop").click()
    box = page.locator("#picture img").bounding_box()
    scale = box["width"] / 1000
    page.mouse.move(box["x"] + 260 * scale, box["y"] + 500 * scale)
    page.mouse.down()
    page.mouse.move(box["x"] + 740 * scale, box["y"] + 820 * scale, steps=5)
    page.mouse.up()
    page.locator("#answer .hint", has_text="your picture").wait_for()
    page.locator("#seen .seen").first.wait_for()
    assert page.locator("#answer .warning").count() == 0
    ask(page, "How many things are there?")
    assert page.locator("#answer .said strong").inner_text() == str(len(example.scene.objects))
