"""One server, one browser for all tests of the page."""

import os

import pytest
from serving import browser, find_chromium, save_small_model, served_page


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("page") / "checkpoint")


@pytest.fixture(scope="session")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("page") / "server.log"


@pytest.fixture(scope="session")
def address(checkpoint, log):
    with served_page(checkpoint, log) as address:
        yield address


@pytest.fixture(scope="session")
def shipped_address(tmp_path_factory):
    """The page with the shipped model."""
    with served_page(None, tmp_path_factory.mktemp("shipped") / "server.log") as address:
        yield address


@pytest.fixture(scope="session")
def chromium():
    executable = find_chromium()
    if executable is None:
        complaint = "no Chromium found; install Debian's `chromium`, or run `playwright install chromium`"
        pytest.fail(complaint) if os.environ.get("CI") else pytest.skip(complaint)
    with browser(executable) as chromium:
        yield chromium


def is_complaint(message):
    """An error on the console, but not that Gradio asks for the progress of a camera's upload, which has none."""
    on_progress = message.location.get("url", "") + message.text
    return message.type == "error" and "upload_progress" not in on_progress and message.text != "Response"


@pytest.fixture
def open_page(chromium, address):
    """Opens the page in a new visit; fails the test for errors on the console and requests to other machines."""
    contexts, complaints = [], []

    def open_page(width=1280, height=900, scheme="light", query=""):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if is_complaint(message) else None)
        local = (address, "data:", "blob:")
        page.on("request", lambda r: None if r.url.startswith(local) else complaints.append(f"request to {r.url}"))
        page.goto(address + query)
        page.locator("#blocks .blocks").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
