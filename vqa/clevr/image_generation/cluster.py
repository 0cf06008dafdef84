"""Rendering on a Dask cluster: shards of images are tasks, done again elsewhere when a worker dies.

Each thread of a worker keeps one Blender process, which ends with it. Dask's protocol is pickle: only clusters that
you trust, or over tls://.
"""

import hashlib
import logging
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vqa.clevr.image_generation.blender import BlenderWorker, RenderSettings, encode_image, find_blender, save_image
from vqa.clevr.image_generation.sample_scenes import Layout
from vqa.errors import InputError
from vqa.utils.files import write_file

SHARD = 4
"""Images per task: the most that a worker's death loses."""

CONNECT_SECONDS = 10

Job = tuple[Path, Callable[[], Layout]]
"""Where an image is to be written, and how to make its layout."""

_thread = threading.local()

_SOURCES = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
_CODE = hashlib.sha256(_SOURCES).hexdigest()[:8]
"""What this process renders with; read now, for the files of one that runs for days may be replaced."""


def render_on_cluster(
    address: str,
    jobs: Sequence[Job],
    settings: RenderSettings,
    blender: str | Path | None = None,
    shared: bool = False,
) -> Iterator[int]:
    """Render images on the workers of a cluster; yields how many more are done.

    Args:
        address: "local:N", N worker processes on this machine, or a scheduler's "tcp://HOST:PORT" or "tls://...".
        blender: an installed Blender, at the same path on all workers (default: `bpy`, fetched by uv).
        shared: whether the workers see the folder and write into it; else they send the images back.

    Raises InputError: Dask missing, no such scheduler, a worker of another version, without Blender, or that does not
    see the folder. Images that exist by then are kept.
    """
    absolute = [(path.resolve(), layout) for path, layout in jobs]
    shards = [absolute[k : k + SHARD] for k in range(0, len(jobs), SHARD)]
    with _client(address) as client, _mark(absolute[0][0].parent if shared else None) as mark:
        from dask.distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm import CommClosedError

        if not client.nthreads():
            print(f"{address}: waiting for workers ...", file=sys.stderr)
            client.wait_for_workers(1)
        for worker, found in client.run(find_spec, __name__, on_error="return").items():  # a task would kill the worker
            if not isinstance(found, ModuleSpec):
                raise InputError(f"worker at {worker}: lacks this version of vqa ({found}); install the client's")
        more = {"settings": settings, "blender": blender, "mark": mark, "expected": _versions(blender)}
        try:
            for future in as_completed(client.map(_render_shard, shards, pure=False, **more)):
                done = future.result()
                for path, content in done:
                    if content is not None:
                        write_file(path, content)
                yield len(done)
                future.release()
        except KilledWorker as error:
            raise InputError(f"--cluster {address}: {error}\nThe same command resumes") from error
        except (CancelledError, CommClosedError) as error:
            raise InputError(f"--cluster {address}: the scheduler was lost; the same command resumes") from error


@contextmanager
def _client(address: str) -> Iterator[Any]:
    """A client of the cluster. Raises InputError as `render_on_cluster` does."""
    local = re.fullmatch(r"local:0*([1-9]\d{0,3})", address)
    if not local and not re.fullmatch(r"(tcp|tls)://[^/\s]+:\d{1,5}", address):
        raise InputError(f"--cluster {address:.80}: expected local:N with N from 1, or a scheduler's tcp://HOST:PORT")
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError as error:
        raise InputError("--cluster needs Dask: pip install 'film-se-vqa[cluster]'") from error
    if local:
        options = {"threads_per_worker": 1, "memory_limit": None, "dashboard_address": None}
        several = LocalCluster(n_workers=int(local[1]), silence_logs=logging.CRITICAL, **options)
        with several as cluster, Client(cluster) as client:
            yield client
        return
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is raised
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:
        raise InputError(f"--cluster {address}: no Dask scheduler there ({error}); see that it runs") from error
    with client:
        yield client


@contextmanager
def _mark(folder: Path | None) -> Iterator[Path | None]:
    """A file by which a worker knows the shared folder, for as long as the block runs."""
    if folder is None:
        yield None
        return
    mark = folder / f".shared.{secrets.token_hex(8)}.tmp"
    write_file(mark, b"")
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def _versions(blender: str | Path | None) -> dict[str, str]:
    """What decides an image's bytes; unknown for an installed Blender that this machine lacks."""
    import PIL

    found = {"vqa": f"{version('film-se-vqa')} ({_CODE})", "Pillow": PIL.__version__}
    if blender is not None and shutil.which(blender):
        said = subprocess.run(
            [str(blender), "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        ).stdout
        found["Blender"] = said.decode(errors="replace").partition("\n")[0]
    return found


# --- on a worker ------------------------------------------------------------------------------------------------------


def _render_shard(
    jobs: Sequence[Job],
    settings: RenderSettings,
    blender: str | Path | None,
    mark: Path | None,
    expected: dict[str, str],
) -> list[tuple[Path, bytes | None]]:
    """Render jobs on this worker; the paths, each with the file's bytes unless they are written already."""
    from dask.distributed import get_worker

    try:
        renderer = _renderer(settings, blender, mark, expected, str(get_worker().name))
        done: list[tuple[Path, bytes | None]] = []
        for path, layout in jobs:
            image = renderer.render(layout())
            if mark is not None:
                save_image(image, path)
            done.append((path, encode_image(image, path.suffix) if mark is None else None))
        return done
    except InputError as error:
        raise InputError(f"worker {get_worker().name} at {get_worker().address}: {error}") from None


def _renderer(
    settings: RenderSettings, blender: str | Path | None, mark: Path | None, expected: dict[str, str], name: str
) -> BlenderWorker:
    """This thread's Blender process, restarted for other settings. Raises InputError if this worker may not render."""
    key = (settings, blender, mark, expected)
    if getattr(_thread, "key", None) == key:
        return _thread.renderer
    found = _versions(blender)
    for what, wanted in expected.items():
        if found.get(what, wanted) != wanted:
            raise InputError(f"has {what} {found[what]}, not {wanted}; give it the client's, and restart it")
    if mark is not None and not mark.exists():
        raise InputError(f"does not see {mark.parent}: without --shared images are sent back")
    if hasattr(_thread, "renderer"):
        _thread.renderer.close()
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    number = re.fullmatch(r"[^:]*?(\d{1,4})", name)  # of several workers on a machine
    core = cores[int(number[1]) % len(cores)] if cores and number else None
    _thread.renderer, _thread.key = BlenderWorker(find_blender(blender), settings, core), key
    return _thread.renderer
