"""A visitor's way through the page, in a real browser on the real server."""

import io
import json
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.examples import load_examples
from vqa.utils.resources import shipped

IMAGE = shipped("data/clevr-mini/images/val/CLEVR_val_000003.jpg")
UPLOAD = '#picture input[type="file"]'


def upload(page, path):
    if page.get_by_label("Remove Image").count():
        page.get_by_label("Remove Image").click()
    page.locator(UPLOAD).first.set_input_files(path)


def ask(page, question):
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def answered(page, question):
    page.locator("#answer .asked", has_text=question).wait_for()


def message(page):
    alert = page.locator("#answer [role=alert]")
    alert.wait_for()
    return alert.inner_text()


def test_upload_a_image_ask_and_see_answer_and_plots(open_page, checkpoint, tmp_path):
    import vqa

    page = open_page()
    upload(page, IMAGE)
    page.locator("#answer .hint").wait_for()
    assert page.locator("#blocks .stage").count() == 0
    question = "What number of small things are left of the metal cube?"
    ask(page, question)
    answered(page, question)
    expected = vqa.load(checkpoint, "cpu").ask(IMAGE, question)
    assert page.locator("#answer .said strong").inner_text() == expected.answer
    names = page.locator("#answer .bars li > span:first-child").all_inner_texts()
    assert names == [name for name, _ in expected.top_answers]
    blocks = page.locator("#blocks .stage")
    assert blocks.count() == len(expected.weights)
    for k, weights in enumerate(expected.weights.values()):
        words = blocks.nth(k).locator(".words span")
        assert words.all_inner_texts() == expected.words
        for kind in ("film_gamma", "film_beta", "channel_weights"):
            shown = blocks.nth(k).locator(f".{kind}").get_attribute("data-values")
            np.testing.assert_allclose(np.array(shown.split(), float), weights[kind], atol=0.006)
        drawn = blocks.nth(k).locator("figure img")
        assert drawn.evaluate("image => image.complete && image.naturalWidth > 100")
    for svg in page.locator("#blocks svg").all():
        assert svg.bounding_box()["width"] > 200
    with page.expect_download() as download:
        page.get_by_text("Download as JSON").click()
    saved = json.loads(Path(download.value.path()).read_text())
    assert download.value.suggested_filename == "answer.json"
    assert saved["answer"] == expected.answer
    assert saved["question"] == question
    page.screenshot(path=os.environ.get("VQA_SCREENSHOTS", str(tmp_path)) + "/asked.png", full_page=True)


def test_examples_and_suggestions(open_page):
    page = open_page()
    examples = load_examples()
    thumbnails = page.locator("#gallery button")
    assert thumbnails.count() == len(examples)
    thumbnails.nth(4).click()
    answered(page, examples[4].questions[0])
    page.locator("#suggestions button", has_text=examples[4].questions[1]).click()
    answered(page, examples[4].questions[1])
    assert page.get_by_label("Question", exact=True).input_value() == examples[4].questions[1]
    assert examples[4].path.name in page.locator("#picture img").get_attribute("src")
    ask(page, "How many cubes are there?")
    answered(page, "How many cubes are there?")
    history = page.locator("#history li").all_inner_texts()
    assert len(history) == 3
    assert history[0].startswith("How many cubes are there?")


def test_a_question_asked_while_another_is_answered_is_answered_too(open_page):
    page = open_page()
    for question in ("How many cubes are there?", "Is there a red cube?", "What color is the sphere?"):
        ask(page, question)
    answered(page, "What color is the sphere?")


def test_a_pasted_image(open_page, address):
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    buffer = io.BytesIO()
    Image.open(IMAGE).save(buffer, "PNG")
    page.evaluate(
        "async bytes => navigator.clipboard.write([new ClipboardItem({'image/png': "
        "new Blob([new Uint8Array(bytes)], {type: 'image/png'})})])",
        list(buffer.getvalue()),
    )
    page.get_by_label("Remove Image").click()
    page.get_by_label("Paste from clipboard").click()
    page.locator("#answer .hint", has_text="your picture").wait_for()
    ask(page, "How many spheres are there?")
    answered(page, "How many spheres are there?")


def test_a_image_from_the_camera(open_page):
    page = open_page()
    page.context.grant_permissions(["camera"])
    page.get_by_label("Remove Image").click()
    page.get_by_label("Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    page.wait_for_function("document.querySelector('video')?.videoWidth > 0")
    page.get_by_label("capture photo").click()
    page.locator("#answer .hint", has_text="your picture").wait_for()
    ask(page, "How many spheres are there?")
    answered(page, "How many spheres are there?")


def test_completion_while_typing_by_keyboard(open_page):
    page = open_page()
    example = load_examples()[0]
    question = page.get_by_label("Question", exact=True)
    options = page.get_by_role("listbox").get_by_role("option")
    question.fill("")
    question.press_sequentially(example.fitting[3][:9].lower())
    assert example.fitting[3] in options.all_inner_texts()
    question.fill("")
    question.press_sequentially("what color is the gir")
    assert options.count() == 0
    question.press_sequentially("affe of the yel")
    assert options.all_inner_texts() == ["what color is the giraffe of the yellow"]
    assert page.locator(".unknown-words").inner_text().endswith(": giraffe")
    question.press("ArrowDown")
    assert question.get_attribute("aria-activedescendant") == options.first.get_attribute("id")
    question.press("Enter")
    assert question.input_value() == "what color is the giraffe of the yellow "
    assert options.count() > 1
    question.press("Escape")
    assert options.filter(visible=True).count() == 0
    question.fill("Is there a red cube?")
    question.press("Enter")
    answered(page, "Is there a red cube?")


def test_by_keyboard_alone(open_page):
    page = open_page()
    page.locator("#gallery button").nth(2).focus()
    page.keyboard.press("Enter")
    answered(page, load_examples()[2].questions[0])
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("Is there a red cube?")
    page.keyboard.press("Enter")
    answered(page, "Is there a red cube?")
    channels = page.get_by_role("slider", name="Channels of block 1")
    values = page.locator(".stage").first.locator(".film_beta").get_attribute("data-values").split()
    channels.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert channels.get_attribute("aria-valuenow") == "3"
    assert f"FiLM β {values[3]}" in channels.get_attribute("aria-valuetext")
    page.keyboard.press("End")
    output = page.locator(".stage").first.locator(".film_beta output")
    assert output.inner_text() == f"{values[-1]} in channel {len(values) - 1}"
    page.keyboard.press("Tab")
    assert "(channel" in output.inner_text()


def test_the_pointer_reads_channels(open_page):
    page = open_page()
    block = page.locator(".stage").nth(1)
    strip = block.locator(".film_gamma svg")
    strip.scroll_into_view_if_needed()
    box = strip.bounding_box()
    values = block.locator(".film_gamma").get_attribute("data-values").split()
    at = box["x"] + box["width"] * 5.5 / len(values)
    page.mouse.move(at, box["y"] + 5)
    assert block.locator(".film_gamma output").inner_text() == f"{values[5]} in channel 5"
    mark = block.locator(".channels").evaluate(
        "e => e.getBoundingClientRect().left + parseFloat(getComputedStyle(e, '::after').left)"
    )
    assert abs(mark - at) < 3
    page.mouse.move(2, 2)
    assert "(channel" in block.locator(".film_gamma output").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(open_page, scheme, tmp_path):
    page = open_page(390, 844, scheme)
    upload(page, IMAGE)
    page.locator("#answer .hint").wait_for()
    ask(page, "antidisestablishmentarianism" * 9 + " cube")
    answered(page, "cube")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "[...document.querySelectorAll('.gradio-container *')].filter(e => e.getBoundingClientRect().right > 391"
        " && e.getClientRects().length && !e.closest('.visually-hidden')).map(e => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    page.screenshot(path=os.environ.get("VQA_SCREENSHOTS", str(tmp_path)) + f"/phone-{scheme}.png", full_page=True)


FAINT_TEXTS = """
() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const probe = canvas.getContext("2d", {willReadFrequently: true});
  const paint = colors => {
    probe.clearRect(0, 0, 1, 1);
    for (const color of colors) { probe.fillStyle = color; probe.fillRect(0, 0, 1, 1); }
    return [...probe.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = v => v <= .03928 * 255 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const luminance = rgb => rgb.reduce((sum, v, i) => sum + linear(v) * [.2126, .7152, .0722][i], 0);
  const grounds = e => e ? [...grounds(e.parentElement), getComputedStyle(e).backgroundColor] : ["white"];
  const found = [];
  const main = document.querySelector(".gradio-container main");
  const walk = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const e = node.parentElement;
    if (!node.textContent.trim() || !e.getClientRects().length || e.closest("svg, style, script")) continue;
    const ground = luminance(paint(grounds(e)));
    const ink = luminance(paint([...grounds(e), getComputedStyle(e).color]));
    const contrast = (Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05);
    if (contrast < 4.5) found.push([node.textContent.slice(0, 40), contrast]);
  }
  return found;
}
"""

UNNAMED = (
    "[...document.querySelectorAll('main button, main input, main textarea')].filter(e => e.getClientRects().length"
    " && !(e.innerText || e.ariaLabel || e.title || e.labels?.length || e.querySelector('img[alt]')))"
    ".map(e => e.outerHTML.slice(0, 120))"
)


def tabs(page):
    """Open one tab after the other."""
    for tab in page.get_by_role("tab").all():
        tab.click()
        page.wait_for_timeout(600)
        yield tab.inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(open_page, scheme):
    """WCAG 2.1 AA: 4.5 to 1, for every text of every tab; words as dark as they can get."""
    page = open_page(scheme=scheme)
    page.locator(".words span").first.evaluate("e => e.style.setProperty('--w', '1')")
    assert {name: faint for name in tabs(page) if (faint := page.evaluate(FAINT_TEXTS))} == {}


def test_images_have_alt_texts_and_controls_have_names(open_page):
    page = open_page()
    for name in tabs(page):
        assert page.locator("img:not([alt]), img[alt='']").filter(visible=True).count() == 0, name
        assert page.evaluate(UNNAMED) == [], name


def bomb(path):
    """A PNG of 40,000 x 40,000 pixels in a few bytes."""

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (40_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(9999))))
    return path


def text_file(path):
    path.write_text("no picture at all")
    return path


def cut_short(path):
    buffer = io.BytesIO()
    Image.effect_noise((400, 300), 90).convert("RGB").save(buffer, "PNG")
    path.write_bytes(buffer.getvalue()[:5000])
    return path


@pytest.mark.parametrize(
    ("make", "complaint"),
    [(text_file, "not an image"), (bomb, "more than the 64,000,000 pixels"), (cut_short, "damaged or cut short")],
)
def test_what_is_no_image_is_told_at_once(open_page, tmp_path, make, complaint):
    page = open_page()
    upload(page, make(tmp_path / "odd & <b>name.png"))
    on_progress = message(page)
    assert complaint in on_progress
    assert "odd" in on_progress
    assert "name.png" in on_progress
    page.locator(UPLOAD).first.wait_for(state="attached")
    ask(page, "How many cubes are there?")
    page.locator("#answer [role=alert]", has_text="there is none").wait_for()


def test_a_file_over_the_limit_is_refused(open_page, tmp_path):
    page = open_page()
    (tmp_path / "large.png").write_bytes(os.urandom(21_000_000))
    upload(page, tmp_path / "large.png")
    page.get_by_text("exceed").first.wait_for()


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ("", "it has no words"),
        ("?!", "it has no words"),
        ("Wie viele Würfel?", "it looks like German"),
        ("有几个立方体", "it looks like Chinese"),
        ("cube " * 150, "at most 100 are read"),
    ],
)
def test_questions_that_cannot_be_asked(open_page, question, complaint):
    page = open_page()
    ask(page, question)
    assert complaint in message(page)
    assert page.locator("#blocks .stage").count() == 0


def test_unknown_words_are_marked_and_html_stays_text(open_page):
    page = open_page()
    question = "<img src=x> ${document.title} {{this}} What color is the giraffe cube?"
    ask(page, question)
    answered(page, "giraffe")
    assert page.locator("#answer .asked").inner_text() == question
    assert "giraffe" in page.locator("#answer .warning").first.inner_text()
    assert page.locator(".stage").first.locator(".words .unknown", has_text="giraffe").count() == 1
    assert page.locator("img[src=x]").count() == 0
    assert page.title() == "Ask a CLEVR picture"


def test_visits_do_not_see_each_other(open_page):
    one, other = open_page(), open_page()
    upload(one, IMAGE)
    one.locator("#answer .hint").wait_for()
    for question in ("How many cubes are there?", "How many spheres are there?"):
        ask(one, question)
        answered(one, question)
    assert one.locator("#history li").count() == 2
    assert IMAGE.name in one.locator("#picture img").get_attribute("src")
    ask(other, "Is there a cube?")
    answered(other, "Is there a cube?")
    assert other.locator("#history li:visible").count() == 0
    assert "CLEVR_val_000000" in other.locator("#picture img").get_attribute("src")
    assert IMAGE.name not in other.content().replace("Example", "")


def test_the_server_reached_out_to_nobody(open_page, log):
    open_page()
    assert "OUTSIDE" not in log.read_text()
    assert "Traceback" not in log.read_text()
