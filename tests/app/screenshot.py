"""Take README's image of the page again: `uv run python tests/app/screenshot.py [--checkpoint DIR] [--out FILE]`."""

import argparse
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image
from serving import browser, find_chromium, served_page

from app.examples import load_examples

SIZE = (1280, 1520)
EXAMPLE = 0
MAX_BYTES = 300_000


def take_screenshot(checkpoint: Path | None, out: Path) -> None:
    """Ask about a shipped image on the real page and save what a desktop shows, as a PNG under `MAX_BYTES`."""
    executable = find_chromium()
    question = load_examples()[EXAMPLE].questions[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        served_page(checkpoint, Path(folder, "log")) as address,
        browser(executable) as chromium,
    ):
        page = chromium.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        page.goto(address)
        page.locator("#gallery button").nth(EXAMPLE).click()
        page.locator("#answer .asked", has_text=question).wait_for()
        page.locator("#picture img").evaluate("image => image.decode()")
        page.wait_for_timeout(500)
        shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    data = _png(shot)
    while len(data) > MAX_BYTES:
        shot = shot.resize((shot.width * 9 // 10, shot.height * 9 // 10), Image.Resampling.LANCZOS)
        data = _png(shot)
    out.write_bytes(data)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped one")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "app" / "screenshot.png")
    args = parser.parse_args()
    take_screenshot(args.checkpoint, args.out)
    print(args.out, f"{args.out.stat().st_size:,} bytes", file=sys.stderr)
