"""One image at a time from Blender, in its own process, watched by a clock."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from vqa.clevr.image_generation.blender import BlenderWorker, RenderSettings, find_blender
from vqa.clevr.image_generation.sample_scenes import Layout
from vqa.errors import InputError

SECONDS = 180
"""An image takes some seconds; a machine that needs longer than this is given up on."""

_SETTINGS = RenderSettings(360, 240, 8)
_TICK = 0.5


def render_watched(
    layout: Layout, blender: str | Path | None = None, seconds: float = SECONDS
) -> Iterator[float | Image.Image]:
    """Yield the seconds gone by, twice a second, and in the end the image; Blender ends with the iterator.

    Raises InputError where Blender is not here, fails, or takes more than `seconds`.
    """
    core = max(os.sched_getaffinity(0)) if sys.platform == "linux" else None
    worker = BlenderWorker(find_blender(blender, fetch=False), _SETTINGS, core)
    found: list[Image.Image | Exception] = []

    def work() -> None:
        try:
            found.append(worker.render(layout))
        except Exception as error:  # told by the iterator
            found.append(error)

    thread = threading.Thread(target=work, daemon=True)
    start = time.monotonic()
    try:
        thread.start()
        while not found:
            gone = time.monotonic() - start
            if gone > seconds:
                raise InputError(f"Blender took more than {seconds:g} s and was stopped; try again with fewer objects")
            yield gone
            thread.join(_TICK)
    finally:
        worker.close()
        thread.join(10)
    if isinstance(found[0], Exception):
        raise found[0]
    yield found[0]
