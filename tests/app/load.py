"""Many visitors at once: `uv run python tests/app/load.py [--visitors 50] [--minutes 5] [--browsers 2]`.

Every visitor uploads an image and asks another question about it every ten seconds through the API; some do so in a
browser. Prints, as JSON, how many answers came and how long they took, every error, and how the server's memory grew.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
import numpy as np
from serving import browser, find_chromium, served_page

from app.examples import load_examples
from vqa.clevr.vocabulary import COLORS

INTERVAL = 10.0
FRESH = httpx.Limits(max_keepalive_connections=0)
"""A connection kept for the next question would be the one that the server closes just then."""


class Tally:
    """What the visitors lived through."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.browser_seconds: list[float] = []
        self.errors: list[str] = []


async def visit(address: str, seed: int, end: float, tally: Tally) -> None:
    """One visitor of the API: upload, then a question every ten seconds."""
    draw = random.Random(seed)
    example = draw.choice(load_examples())
    await asyncio.sleep(draw.uniform(0, INTERVAL))
    async with httpx.AsyncClient(base_url=f"{address}/gradio_api", timeout=60, limits=FRESH) as client:
        upload = await client.post("/upload", files={"files": (example.path.name, example.path.read_bytes())})
        path = upload.raise_for_status().json()[0]
        while time.monotonic() < end:
            start = time.monotonic()
            try:
                await ask(client, path, draw.choice(example.fitting))
                tally.seconds.append(time.monotonic() - start)
            except Exception as error:  # any refusal counts
                tally.errors.append(f"API: {type(error).__name__}: {error}"[:300])
            await asyncio.sleep(max(0.0, start + INTERVAL - time.monotonic()))


async def ask(client: httpx.AsyncClient, path: str, question: str) -> None:
    """One question by plain HTTP. Raises RuntimeError where the answer is none."""
    image = {"path": path, "meta": {"_type": "gradio.FileData"}}
    event = (await client.post("/call/ask", json={"data": [image, question]})).raise_for_status().json()["event_id"]
    reply = (await client.get(f"/call/ask/{event}")).raise_for_status().text.strip().splitlines()
    if reply[-2] != "event: complete" or not json.loads(reply[-1].removeprefix("data: "))[0]["answer"]:
        raise RuntimeError(" ".join(reply[-2:])[:200])


def browse(address: str, visitors: int, end: float, tally: Tally) -> None:
    """Visitors in one browser, each in a visit of its own, who ask in turn."""
    with browser(find_chromium()) as chromium:
        pages = []
        for _ in range(visitors):
            page = chromium.new_context().new_page()
            page.set_default_timeout(60_000)
            page.goto(address)
            page.locator("#blocks .blocks").wait_for()
            pages.append(page)
        number = 0
        while time.monotonic() < end:
            for page in pages:
                number += 1
                question = f"How many {COLORS[number % len(COLORS)]} things are there? {'?' * (number % 7)}"
                start = time.monotonic()
                try:
                    page.get_by_label("Question", exact=True).fill(question)
                    page.get_by_role("button", name="Ask", exact=True).click()
                    page.wait_for_function(
                        "said => document.querySelector('#answer .asked')?.textContent === said", arg=question
                    )
                    tally.browser_seconds.append(time.monotonic() - start)
                except Exception as error:  # any refusal counts
                    tally.errors.append(f"browser: {type(error).__name__}: {error}"[:300])
                time.sleep(max(0.0, start + INTERVAL / len(pages) - time.monotonic()))


def memory_of(port: str) -> float:
    """Resident megabytes of the process that listens on a port (Linux)."""
    found = subprocess.run(["pgrep", "-f", f"app --port {port}"], capture_output=True, text=True, check=True)
    status = Path("/proc", found.stdout.split()[0], "status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run(address: str, visitors: int, browsers: int, minutes: float) -> dict:
    """All visitors for so many minutes."""
    tally, port = Tally(), address.rpartition(":")[2]
    start = memory_of(port)
    end = time.monotonic() + 60 * minutes
    memory: list[float] = []

    def watch() -> None:
        while time.monotonic() < end:
            time.sleep(min(15, 15 * minutes))
            memory.append(round(memory_of(port)))

    threads = [threading.Thread(target=watch)]
    if browsers:
        threads.append(threading.Thread(target=browse, args=(address, browsers, end, tally)))
    for thread in threads:
        thread.start()

    async def everyone() -> None:
        await asyncio.gather(*(visit(address, seed, end, tally) for seed in range(visitors - browsers)))

    asyncio.run(everyone())
    for thread in threads:
        thread.join()
    return {
        "visitors": visitors,
        "in_browsers": browsers,
        "minutes": minutes,
        "api": summary(tally.seconds),
        "browser": summary(tally.browser_seconds),
        "errors": len(tally.errors),
        "first_errors": tally.errors[:5],
        "memory_mb": {"before": round(start), "each_15_s": memory},
    }


def summary(seconds: list[float]) -> dict:
    """Answers, and their median, 95th percentile and longest time in seconds."""
    if not seconds:
        return {"answers": 0}
    median, p95 = np.quantile(seconds, [0.5, 0.95]).round(3).tolist()
    return {"answers": len(seconds), "median_s": median, "p95_s": p95, "longest_s": round(max(seconds), 3)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--browsers", type=int, default=2, help="how many of them come with a browser")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--checkpoint", type=Path, help="default: the shipped one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served_page(args.checkpoint, Path(folder, "log")) as served:
        on_progress = run(served, args.visitors, args.browsers, args.minutes)
    print(json.dumps(on_progress, indent=1))
    sys.exit(bool(on_progress["errors"]))
