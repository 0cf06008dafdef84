"""Opening many images, to see whether they are whole and which are the same."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from vqa.errors import InputError
from vqa.utils.images import load_image


@dataclass(frozen=True, slots=True)
class Opened:
    """One image: (width, height) in pixels, a digest of its RGB pixels, or what is wrong with it."""

    name: str
    size: tuple[int, int] = (0, 0)
    digest: bytes = b""
    error: str = ""


def open_images(pool: ThreadPoolExecutor, folder: Path, names: Sequence[str]) -> Iterator[Opened]:
    """The images in the order of `names`; they are opened from now on, while the caller does something else.

    Threads do: Pillow decodes and hashlib digests without Python's lock.
    """
    results = pool.map(lambda name: open_image(folder, name), names)
    return iter(tqdm(results, total=len(names), desc=f"{folder.name} images", leave=False, disable=None))


def open_image(folder: Path, name: str) -> Opened:
    """Decode a whole image."""
    try:
        image = load_image(folder / name)
    except InputError as error:
        return Opened(name, error=str(error).removeprefix(f"{folder / name}: "))
    return Opened(name, image.size, hashlib.blake2b(image.tobytes(), digest_size=16).digest())
