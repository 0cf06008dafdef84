"""A visit: examples that answer at once, links, reloads, Back, late uploads, phones, weight and keyboard."""

import io
import time
import urllib.request
from urllib.parse import urlencode

import pytest
from PIL import Image

from app.context import Turns
from app.examples import load_examples
from vqa.utils.resources import shipped

IMAGE = shipped("data/clevr-mini/images/train/CLEVR_train_000001.jpg")
EXAMPLES = load_examples()
FIRST_VISIT = 400_000
"""Bytes on the wire."""


def answered(page, question):
    page.locator("#answer .asked", has_text=question).first.wait_for()


def ask(page, question):
    page.get_by_label("Question", exact=True).first.fill(question)
    page.get_by_role("button", name="Ask", exact=True).first.click()
    answered(page, question)


def upload(page, path=IMAGE):
    if page.get_by_label("Remove Image").first.is_visible():
        page.get_by_label("Remove Image").first.click()
    page.locator('#picture input[type="file"]').first.set_input_files(path)


def shown(page):
    return page.locator("#picture img").get_attribute("src").rpartition("/")[2]


def selected(page):
    return page.locator("[role=tab][aria-selected=true]").first.inner_text()


def test_an_example_is_answered_by_one_click(open_page):
    page = open_page()
    page.locator("#gallery button").nth(3).click()
    answered(page, EXAMPLES[3].questions[0])
    assert shown(page) == EXAMPLES[3].path.name
    assert "the scene's own list of objects" in page.locator("#answer .truth").inner_text()


def test_history_brings_question_and_image_back(open_page):
    page = open_page()
    page.locator("#gallery button").nth(3).click()
    answered(page, EXAMPLES[3].questions[0])
    upload(page)
    page.locator("#answer .hint").wait_for()
    ask(page, "How many cubes are there?")
    assert page.locator("#history img").count() == 2
    page.locator("#history button", has_text=EXAMPLES[3].questions[0]).click()
    answered(page, EXAMPLES[3].questions[0])
    assert shown(page) == EXAMPLES[3].path.name
    page.locator("#history button", has_text="How many cubes").click()
    answered(page, "How many cubes are there?")
    assert shown(page) == IMAGE.name
    assert page.get_by_label("Question", exact=True).first.input_value() == "How many cubes are there?"
    assert page.locator("#history li").count() == 2


def test_a_link_holds_example_question_and_tab(open_page, address):
    page = open_page()
    page.locator("#gallery button").nth(2).click()
    answered(page, EXAMPLES[2].questions[0])
    ask(page, "Are there any metal cubes?")
    page.get_by_role("tab", name="Where").click()
    link = page.url
    assert link == f"{address}/?{urlencode({'example': 2, 'question': 'Are there any metal cubes?', 'tab': 'where'})}"
    other = open_page(query=link.removeprefix(address))
    other.locator("#where .asked", has_text="Are there any metal cubes?").wait_for()
    assert selected(other) == "Where"
    other.get_by_role("tab", name="Ask").click()
    answered(other, "Are there any metal cubes?")
    assert shown(other) == EXAMPLES[2].path.name


@pytest.mark.parametrize("query", ["example=99&question=x", "example=-1", "example=a", "tab=none", "question=%00"])
def test_links_that_make_no_sense_show_the_page_as_ever(open_page, query):
    page = open_page(query=f"/?{query}")
    answered(page, EXAMPLES[0].questions[0])
    assert selected(page) == "Ask"


def test_a_reload_keeps_the_visit(open_page):
    page = open_page()
    upload(page)
    page.locator("#answer .hint").wait_for()
    for question in ("How many cubes are there?", "Is there a red thing?"):
        ask(page, question)
    page.get_by_role("tab", name="Channels").click()
    page.locator("#channels-card .channel").wait_for()
    page.wait_for_timeout(1000)  # what Gradio still has on its way would complain that the page is left
    page.reload()
    page.locator("#channels-strips .asked", has_text="Is there a red thing?").wait_for()
    page.get_by_role("tab", name="Ask").click()
    answered(page, "Is there a red thing?")
    assert shown(page) == IMAGE.name
    assert page.locator("#history li").count() == 2


def test_back_goes_a_tab_back(open_page):
    page = open_page()
    for name in ("Where", "Compare"):
        page.get_by_role("tab", name=name).click()
    for name in ("Where", "Ask"):
        page.go_back()
        page.locator("[role=tab][aria-selected=true]", has_text=name).wait_for()
    page.go_forward()
    page.locator("[role=tab][aria-selected=true]", has_text="Where").wait_for()


def test_a_slow_upload_does_not_overwrite_what_was_chosen_since(open_page):
    page = open_page()

    def slowly(route):
        time.sleep(2)
        route.continue_()

    page.route("**/upload?*", slowly)
    upload(page)
    page.locator("#gallery button").nth(5).click()
    answered(page, EXAMPLES[5].questions[0])
    page.wait_for_timeout(4000)
    answered(page, EXAMPLES[5].questions[0])
    assert shown(page) == EXAMPLES[5].path.name
    page.unroute("**/upload?*")
    upload(page)
    page.locator("#answer .hint", has_text="your picture").wait_for()
    assert shown(page) == IMAGE.name


def test_only_the_event_that_began_last_shows_its_result():
    turns = Turns()
    upload, example = turns.begin("a"), turns.begin("a")
    turns.begin("b")
    assert not turns.is_latest("a", upload)
    assert turns.is_latest("a", example)


def test_a_refused_upload_says_so_where_the_image_would_be(open_page, tmp_path):
    page = open_page()
    (tmp_path / "notes.png").write_text("no picture <b>at all</b>")
    upload(page, tmp_path / "notes.png")
    page.locator("#picture", has_text="notes.png: not an image").wait_for()
    assert page.locator("#picture b").count() == 0
    assert page.locator("#suggestions button").count() == 0
    page.locator("#gallery button").nth(1).click()
    answered(page, EXAMPLES[1].questions[0])
    assert page.locator("#suggestions button").count() >= 3


def test_compare_takes_the_image_and_question_of_now(open_page):
    page = open_page()
    for index in (4, 6):
        page.get_by_role("tab", name="Ask").click()
        page.locator("#gallery button").nth(index).click()
        answered(page, EXAMPLES[index].questions[0])
        page.get_by_role("tab", name="Compare").click()
        page.locator(f"#compare-left-picture img[src*='{EXAMPLES[index].path.name}']").wait_for()
        assert page.get_by_label("Left question").input_value() == EXAMPLES[index].questions[0]
    page.get_by_label("Left question").fill("Is there a cube?")
    page.get_by_role("tab", name="Where").click()
    page.get_by_role("tab", name="Compare").click()
    page.wait_for_timeout(500)
    assert page.get_by_label("Left question").input_value() == "Is there a cube?"


def test_a_phone_shows_answer_and_tabs_without_scrolling(open_page):
    page = open_page(390, 844)
    box = page.locator("#answer .said").bounding_box()
    assert box["y"] + box["height"] < 844
    for tab in page.get_by_role("tab").all():
        edges = tab.bounding_box()
        assert edges["x"] >= 0
        assert edges["x"] + edges["width"] <= 390
    assert page.get_by_role("tab").count() == 7
    page.get_by_role("tab", name="Results").click()
    cells = page.locator("#results-overview td:visible")
    cells.first.wait_for()
    assert all(cell.bounding_box()["x"] + cell.bounding_box()["width"] <= 390 for cell in cells.all()[:20])


def test_the_question_is_within_five_tab_stops_and_shows_its_focus(open_page):
    page = open_page()
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('#question textarea')"):
            break
    assert page.evaluate("document.activeElement.matches('#question textarea')")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert selected(page) == "Where"
    assert page.evaluate("document.activeElement.innerText") == "Where"


def test_completion_offers_only_what_can_follow(open_page):
    page = open_page()
    question = page.get_by_label("Question", exact=True).first
    options = page.get_by_role("listbox").get_by_role("option")

    def offered(text):
        question.fill("")
        question.press_sequentially(text)
        return options.all_inner_texts()

    assert offered("How many red cubes are there?") == []
    assert "is there a red cube?" in offered("is there a red cube ")
    assert offered("how many c")
    assert all(text.startswith("how many c") for text in options.all_inner_texts())
    assert "how many are" not in " ".join(offered("how many a"))
    assert not [text for text in offered("what color is the cube") if "?a" in text or "??" in text]


def test_dragging_moves_that_object_and_selects_no_text(open_page):
    page = open_page()
    page.get_by_role("tab", name="Compose").click()
    things = page.locator(".plan .thing")
    things.first.wait_for()
    before = {thing.get_attribute("data-index"): thing.get_attribute("transform") for thing in things.all()}
    moved = page.locator('.plan .thing[data-index="1"]')
    box = moved.bounding_box()
    at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] - 40, at[1] - 30, steps=6)
    page.mouse.up()
    page.locator('.plan .thing.chosen[data-index="1"]').wait_for()
    after = {thing.get_attribute("data-index"): thing.get_attribute("transform") for thing in things.all()}
    assert [index for index in before if before[index] != after[index]] == ["1"]
    new = moved.bounding_box()
    assert abs(new["x"] + new["width"] / 2 - at[0] + 40) < 3
    assert page.evaluate("getSelection().toString()") == ""


def test_add_takes_the_attributes_that_are_chosen(open_page):
    page = open_page()
    page.get_by_role("tab", name="Compose").click()
    page.locator("#compose-size input").wait_for()
    page.get_by_label("Color", exact=True).click()
    page.get_by_role("option", name="cyan").click()
    page.get_by_label("Shape", exact=True).click()
    page.get_by_role("option", name="sphere").click()
    page.locator('.plan .thing.chosen[aria-label*="cyan"][aria-label*="sphere"]').wait_for()
    count = page.locator(".plan .thing").count()
    page.locator("#compose-add").click()
    page.locator(f'.plan .thing[data-index="{count}"][aria-label*="cyan"][aria-label*="sphere"]').wait_for()


def test_reports_and_axes_are_dark_in_the_dark(open_page):
    page = open_page(scheme="dark")
    page.get_by_role("tab", name="Results").click()
    page.locator("#results-report iframe").wait_for()
    page.wait_for_timeout(1500)
    frame = Image.open(io.BytesIO(page.locator("#results-report iframe").screenshot())).convert("L")
    histogram = frame.histogram()
    assert sum(histogram[:64]) > 0.8 * sum(histogram)
    ink = page.locator("#results-overview th svg text").first.evaluate("e => getComputedStyle(e).fill")
    assert min(int(part) for part in ink.strip("rgb()").split(",")) > 140


def test_the_first_visit_is_light_and_compressed(open_page, address):
    request = urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
    page = open_page().context.new_page()
    page.context.clear_cookies()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    sizes = []
    session.on("Network.loadingFinished", lambda event: sizes.append(event["encodedDataLength"]))
    page.goto(address)
    page.locator("#blocks .blocks").wait_for()
    page.wait_for_timeout(1500)
    assert 50_000 < sum(sizes) < FIRST_VISIT
