"""Renders images with Blender in child processes, so that its version pins, its licence and its crashes stay outside.

A child is `blender_worker.py` run by Blender's Python: by default `bpy`, which uv fetches into an environment of its
own, or an installed Blender. Each is bound to one core and replaced every 1000 images, for its memory creeps up.
"""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from threading import Lock
from typing import Any

from PIL import Image

from vqa.clevr.image_generation.camera import RADIUS, pose
from vqa.clevr.image_generation.sample_scenes import Layout
from vqa.errors import InputError
from vqa.utils.files import write_file

BPY = "bpy==5.0.1"
IMAGES_PER_PROCESS = 1000
FORMATS = ("png", "jpg")

_WORKER = Path(__file__).resolve().with_name("blender_worker.py")
_TRIES = 3
_OWN = "install Blender 4.2 or newer and give --blender PATH"


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """Size in pixels, 3:2 as in CLEVR, and Cycles samples a pixel, denoised (default: 8, from a width of 480 on 16).

    Raises InputError for another shape of image, or sizes out of range.
    """

    width: int = 240
    height: int = 160
    samples: int | None = None

    def __post_init__(self) -> None:
        if not 30 <= self.width <= 7680 or 2 * self.width != 3 * self.height:
            size = f"--width {self.width} --height {self.height}"
            raise InputError(f"{size}: images must be 3:2 as in CLEVR and 30 to 7680 wide, as 240x160 or 480x320 are")
        if self.samples is None:
            object.__setattr__(self, "samples", 16 if self.width >= 480 else 8)
        if not 1 <= (self.samples or 0) <= 65536:
            raise InputError(f"--samples {self.samples}: must be 1 to 65536")


def find_blender(blender: str | Path | None = None, *, fetch: bool = True) -> list[str]:
    """The command that runs a script in Blender's Python: that of `blender`, or `bpy` by uv, fetched the first time.

    Raises InputError when there is neither, or, without `fetch`, when it would have to be fetched.
    """
    if blender is not None:
        path = shutil.which(blender)
        if path is None:
            raise InputError(f"--blender {blender}: no such program; give the path of Blender 4.2 or newer, or none")
        return [str(Path(path).absolute()), "-b", "--factory-startup", "--python-exit-code", "1", "--python"]
    uv = shutil.which("uv")
    if uv is None:
        raise InputError(
            f"rendering needs Blender: install uv (it fetches Blender's Python module by itself), or {_OWN}"
        )
    online = [uv, "run", "--no-project", "--quiet", "--python", "3.11", "--with", BPY, "python"]
    offline = [uv, "--offline", *online[1:]]
    if not _fails(offline):
        return offline
    if not fetch:
        fetching = f"`uv run --no-project --python 3.11 --with {BPY} python -c 'import bpy'` once (about 360 MB)"
        raise InputError(f"rendering needs Blender, which is not here yet: run {fetching}, or {_OWN}")
    print(f"fetching {BPY} (about 360 MB, once) ...", file=sys.stderr)
    if reason := _fails(online):
        raise InputError(f"uv could not install {BPY} for Python 3.11: {reason}\nCheck the network, or {_OWN}")
    return online if _fails(offline) else offline


class BlenderWorker:
    """One Blender child process that renders layouts; starts when first needed, and again after a crash.

    `core` is the core to bind it to (Linux): a single-thread Cycles left free wakes a second thread, which spins.
    """

    def __init__(self, command: Sequence[str], settings: RenderSettings, core: int | None = None) -> None:
        self._command = [*command, str(_WORKER), "--", json.dumps(asdict(settings))]
        self._core = core
        self._process: subprocess.Popen[str] | None = None
        self._made = 0
        self._closed = False
        self._lock = Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="vqa-render-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name, "log")

    def __enter__(self) -> "BlenderWorker":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def render(self, layout: Layout) -> Image.Image:
        """The image of a layout, RGB, or its mask, gray.

        Raises InputError when Blender does not start, refuses, or dies three times.
        """
        path, name = Path(self._folder.name, "image.png"), layout.scene.image_filename or "the scene"
        job = json.dumps({"path": str(path), **_job(layout)})
        for _ in range(_TRIES):
            if self._made >= IMAGES_PER_PROCESS:
                self._stop()
            if self._process is None:
                self._start()
            self._made += 1
            reply = self._ask(job)
            if reply is None:
                self._stop()
                continue
            if "error" in reply:
                raise InputError(f"Blender could not render {name}: {reply['error']}")
            with Image.open(path) as image:
                return image.getchannel(0) if layout.mask else image.convert("RGB")
        raise InputError(
            f"Blender died {_TRIES} times on {name} (out of memory? try fewer --workers; the same command resumes): "
            + self._last_words()
        )

    def close(self) -> None:
        """End the process at once, even in the middle of an image, and remove its temporary files."""
        with self._lock:
            self._closed = True
        self._stop()
        self._folder.cleanup()

    def _start(self) -> None:
        environment = {**os.environ, "OIDN_NUM_THREADS": "1", "OIDN_SET_AFFINITY": "0", "PYTHONUNBUFFERED": "1"}
        environment.pop("PYTHONPATH", None)
        with self._lock, self._log.open("wb") as log, _bound_to(self._core):
            if self._closed:
                raise InputError("rendering was stopped")
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                errors="replace",
                env=environment,
                cwd=self._folder.name,  # away from any project, whose settings uv would read
                start_new_session=True,
            )
        self._made = 0
        hello = self._ask()
        if hello is None or "error" in hello:
            self._stop()
            reason = (hello or {}).get("error") or self._last_words()
            raise InputError(f"Blender did not start ({self._command[0]}): {reason}")

    def _ask(self, job: str | None = None) -> dict[str, Any] | None:
        """Send a job and read the answer; None when the process has ended."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            if job is not None:
                process.stdin.write(f"{job}\n")
                process.stdin.flush()
            for line in process.stdout:
                if line.startswith("@"):
                    return json.loads(line[1:])
        return None

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # uv and the Blender below it
            else:
                process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._log.read_text(errors="replace").strip()[-1500:] or "it said nothing"
        return "it said nothing"


def render_layouts(
    layouts: Iterable[Layout], settings: RenderSettings, workers: int = 1, blender: str | Path | None = None
) -> Iterator[tuple[Layout, Image.Image]]:
    """Render layouts with `workers` processes; yields (layout, image) as they come, in about the given order.

    Layouts are drawn from the iterable only as they are needed. Raises InputError as `BlenderWorker.render` does;
    whatever ends the iteration early also ends the processes.
    """
    if workers < 1:
        raise InputError(f"--workers {workers}: must be at least 1")
    command = find_blender(blender)
    cores = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    pool = [BlenderWorker(command, settings, cores[k % len(cores)] if cores else None) for k in range(workers)]
    idle: SimpleQueue[BlenderWorker] = SimpleQueue()
    for worker in pool:
        idle.put(worker)

    def render(layout: Layout) -> tuple[Layout, Image.Image]:
        worker = idle.get()
        try:
            return layout, worker.render(layout)
        finally:
            idle.put(worker)

    threads = ThreadPoolExecutor(workers)
    waiting: set[Future[tuple[Layout, Image.Image]]] = set()
    source = iter(layouts)
    try:
        while True:
            waiting |= {threads.submit(render, layout) for layout in islice(source, 2 * workers + 1 - len(waiting))}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
        for worker in pool:
            worker.close()
        threads.shutdown()


def encode_image(image: Image.Image, suffix: str) -> bytes:
    """The file of an image: PNG for ".png", else a JPEG fine enough for small colored objects (quality 92, 4:4:4)."""
    file = io.BytesIO()
    if suffix == ".png":
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=92, subsampling=0)
    return file.getvalue()


def save_image(image: Image.Image, path: Path) -> None:
    """Write `encode_image`, whole or not at all."""
    write_file(path, encode_image(image, path.suffix))


def _job(layout: Layout) -> dict[str, Any]:
    return {
        "mask": layout.mask,
        "seed": layout.render_seed,
        "camera": pose(layout.camera).tolist(),
        "lamps": {name: pose(location).tolist() for name, location in layout.lamps.items()},
        "objects": [
            {
                "shape": item.shape,
                "material": item.material,
                "color": item.color,
                "location": item.coords,
                "rotation": item.rotation,
                "scale": RADIUS[item.size],
            }
            for item in layout.scene.objects
        ],
    }


def _fails(python: Sequence[str]) -> str:
    """Why this Python cannot be started, or nothing."""
    done = subprocess.run(
        [*python, "-c", ""], stdin=subprocess.DEVNULL, capture_output=True, cwd=tempfile.gettempdir(), check=False
    )
    return done.stderr.decode(errors="replace").strip()[-1500:] or "no reason given" if done.returncode else ""


@contextlib.contextmanager
def _bound_to(core: int | None) -> Iterator[None]:
    """Bind this thread, and so the processes it starts, to one core for a while."""
    if sys.platform != "linux" or core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
