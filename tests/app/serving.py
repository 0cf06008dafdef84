"""The real page for tests: a small model, the server as its own process, and a browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from playwright.sync_api import Browser, sync_playwright

from vqa.model.presets import build_config, build_model, build_processor

SMALL = ("image_size=64x96", "stem_widths=8,12,16", "width=16", "text_dim=32", "word_dim=16", "reduction=4")

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)

_LOCAL_ONLY = """
import sys
def guard(event, args):
    if event == "socket.connect" and isinstance(args[1], tuple) and args[1][0] not in ("127.0.0.1", "::1", "0.0.0.0"):
        print("OUTSIDE", args[1], file=sys.stderr, flush=True)
    if event == "socket.getaddrinfo" and args[0] not in (None, "127.0.0.1", "localhost", "::1", "0.0.0.0"):
        print("OUTSIDE", args[0], file=sys.stderr, flush=True)
sys.addaudithook(guard)
from vqa.cli import main
sys.exit(main(sys.argv[1:]))
"""


def save_small_model(
    folder: Path, preset: str = "film-qcse-1", seed: int = 0, overrides: Sequence[str] = SMALL
) -> Path:
    """A checkpoint of random weights that loads and answers in milliseconds."""
    torch.manual_seed(seed)
    config = build_config(preset, overrides)
    build_model(config).save_pretrained(folder)
    build_processor(config).save_pretrained(folder)
    return folder


def free_port() -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def served_page(checkpoint: Path | None, log: Path, seconds: float = 300) -> Iterator[str]:
    """`vqa app` in a process of its own; yields its address. `log` gets what it prints, with a line that begins with
    OUTSIDE for every attempt to reach another machine."""
    port = free_port()
    command = [sys.executable, "-c", _LOCAL_ONLY, "app", "--port", str(port)]
    if checkpoint is not None:
        command += ["--checkpoint", str(checkpoint)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, "HF_HUB_OFFLINE": "1"}
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(server, address, log, seconds)
            yield address
        finally:
            server.terminate()
            server.wait(60)


@contextmanager
def browser(executable: str | None) -> Iterator[Browser]:
    """Headless Chromium with a new profile."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=list(CHROMIUM_FLAGS))
        try:
            yield chromium
        finally:
            chromium.close()


def find_chromium() -> str | None:
    """The system's Chromium or Chrome, or Playwright's own."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"):
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def _wait(server: subprocess.Popen, address: str, log: Path, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if address in log.read_text():
            return
        if server.poll() is not None:
            raise RuntimeError(f"the page ended with status {server.returncode}:\n{log.read_text()}")
        time.sleep(0.2)
    raise RuntimeError(f"the page did not start in {seconds:.0f} s:\n{log.read_text()}")
