"""Opening many images in several processes, to see whether they are whole and which are the same."""

import hashlib
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from tqdm import tqdm

from vqa.errors import InputError
from vqa.utils.images import load_image

_FEW = 400
"""Fewer images are opened in this process: starting others takes longer."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One image: (width, height) in pixels, a digest of its RGB pixels, or what is wrong with it."""

    path: str
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    error: str = ""


class ImagePool:
    """Processes that open images, started when first needed."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def open(self, folder: Path, names: Sequence[str]) -> Iterator[Opened]:
        """The images in the order of `names`; they are opened while the caller does something else."""
        paths = [str(folder / name) for name in names]
        if self._workers < 2 or len(paths) < _FEW:
            return map(open_image, paths)
        if self._pool is None:
            # spawn: a fork of a process that has threads (tqdm's, torch's) may hang
            self._pool = ProcessPoolExecutor(
                self._workers, get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
            )
        results = self._pool.map(open_image, paths, chunksize=32)
        return _watched(tqdm(results, total=len(paths), desc=f"{folder.name} images", leave=False, disable=None))

    def close(self) -> None:
        """Stop the processes and forget work that has not begun."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)


def open_image(path: str) -> Opened:
    """Decode an image wholly."""
    try:
        image = load_image(path)
    except InputError as error:
        return Opened(path, error=str(error).removeprefix(f"{path}: "))
    return Opened(path, image.size, hashlib.blake2b(image.tobytes(), digest_size=16).digest())


def _watched(results: Iterator[Opened]) -> Iterator[Opened]:
    try:
        yield from results
    except BrokenProcessPool as error:
        raise InputError("a process that opens images was killed, perhaps for memory: use fewer --workers") from error
