"""What takes its time with Blender, watched by a clock: one image, or fetching Blender's module."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from PIL import Image

from vqa.clevr.image_generation.blender import BlenderWorker, RenderSettings, find_blender
from vqa.clevr.image_generation.sample_scenes import Layout
from vqa.errors import InputError

SECONDS = 180
"""An image takes some seconds; a machine that needs longer than this is given up on."""

FETCHING = 1800

_SETTINGS = RenderSettings(480, 320)
_TICK = 0.5
_Made = TypeVar("_Made")


def render_watched(
    layout: Layout, blender: str | Path | None = None, seconds: float = SECONDS
) -> Iterator[float | Image.Image]:
    """Yield the seconds gone by, twice a second, and in the end the image; Blender ends with the iterator.

    Raises InputError where Blender is not here, fails, or takes more than `seconds`.
    """
    core = max(os.sched_getaffinity(0)) if sys.platform == "linux" else None
    worker = BlenderWorker(find_blender(blender, fetch=False), _SETTINGS, core)
    try:
        yield from _watched(lambda: worker.render(layout), seconds)
    finally:
        worker.close()


def fetch_watched() -> Iterator[float | list[str]]:
    """Fetch Blender's module: yield the seconds gone by, and in the end the command that runs it."""
    return _watched(find_blender, FETCHING)


def _watched(work: Callable[[], _Made], seconds: float) -> Iterator[float | _Made]:
    found: list[_Made | Exception] = []

    def run() -> None:
        try:
            found.append(work())
        except Exception as error:  # told by the iterator
            found.append(error)

    thread = threading.Thread(target=run, daemon=True)
    start = time.monotonic()
    thread.start()
    while not found:
        gone = time.monotonic() - start
        if gone > seconds:
            raise InputError(f"Blender took more than {seconds:g} s and was stopped; try again with fewer objects")
        yield gone
        thread.join(_TICK)
    if isinstance(found[0], Exception):
        raise found[0]
    yield found[0]
