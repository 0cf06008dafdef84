"""Opening data wherever it lies: a CLEVR folder, a packed file, exported parquet, or a name on the Hugging Face hub.

`open_data` gives the rows, one image each. It reads a folder's JSON once, as a stream, and keeps the result in the
cache as a pack without images, memory-mapped. Only exported data needs `datasets`.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vqa.clevr.annotations import (
    check_split,
    find_annotations,
    images_folder,
    list_images,
    list_splits,
    questions_path,
    read_info,
)
from vqa.clevr.dataset.packed import PackedDataset, write_pack
from vqa.clevr.dataset.reading import SplitReading
from vqa.errors import InputError
from vqa.utils.notes import note

_CACHE_VERSION = 2


def cache_dir() -> Path:
    """Where converted data is kept: $VQA_CACHE_DIR, or `vqa` in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if chosen := os.environ.get("VQA_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vqa")


def open_data(
    data: str | os.PathLike,
    split: str = "train",
    *,
    questions: str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
) -> PackedDataset:
    """The rows of one split of `data`: a packed file, a CLEVR folder, an exported folder or a hub name.

    `questions` names another question file over the same images. What is about images that are not there is left
    out, and counted in `PackedDataset.left_out`. Needs `datasets` for exported data only.
    Raises InputError: nothing there, no such split, no questions, no image at all, broken JSON.
    """
    if Path(data).is_file():
        pack = PackedDataset(data)
        if questions is not None:
            raise InputError(f"{data}: a packed file has its own questions; pack the folder again with --questions")
        if split != pack.split:
            raise InputError(f"{data}: packed from split {pack.split!r}, not {split!r}; give --split {pack.split}")
        return _announced(pack)
    folder = _Folder.find(data, split, questions, cache)
    return folder.opened(".pack")


def pack_data(
    data: str | os.PathLike,
    out: str | os.PathLike,
    size: tuple[int, int],
    split: str = "train",
    *,
    questions: str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
) -> PackedDataset:
    """Write one split with its images at `size` (H, W) to the file `out`; raises InputError as `open_data` does."""
    _Folder.find(data, split, questions, cache).write_pack(Path(out), size)
    return _announced(PackedDataset(out))


def open_images(
    data: str | os.PathLike,
    size: tuple[int, int],
    split: str = "train",
    *,
    questions: str | os.PathLike | None = None,
    cache: str | os.PathLike | None = None,
) -> PackedDataset:
    """`open_data` with the images decoded to `size` (H, W) in one memory-mapped array, made once and cached.

    Raises InputError as `open_data` does, and for a packed file of another size.
    """
    if Path(data).is_file():
        pack = open_data(data, split, questions=questions, cache=cache)
        if pack.images is None or pack.images.shape[1:3] != tuple(size):
            height, width = size
            raise InputError(f"{data}: not packed at {height}x{width}, which this model reads; `vqa data pack --size`")
        return pack
    return _Folder.find(data, split, questions, cache).opened(f".{size[0]}x{size[1]}.pack", size)


def export_data(
    data: str | os.PathLike,
    out: str | os.PathLike,
    splits: Sequence[str] | None = None,
    *,
    title: str | None = None,
    cache: str | os.PathLike | None = None,
) -> dict[str, int]:
    """Write `splits` (all that have questions) as parquet with a dataset card; returns the images of each.

    Raises InputError as `open_data` does, and where `out` exists.
    """
    from vqa.clevr.dataset.arrow import export

    splits = list(dict.fromkeys(splits or list_splits(data)))
    if not splits:
        raise InputError(f"{data}: holds no questions/CLEVR_SPLIT_questions.json")
    packs = [open_data(data, split, cache=cache) for split in splits]
    export(packs, out, title or Path(data).resolve().name)
    return {pack.split: len(pack) for pack in packs}


def require_complete(pack: PackedDataset) -> None:
    """Raises InputError where questions were left out because their images are not there: `--strict`."""
    if pack.left_out:
        raise InputError(
            f"--strict: {pack.left_out:,} of {pack.left_out + len(pack.answers):,} questions are about images that "
            "are not there; fetch the images, or leave --strict out"
        )


def _announced(pack: PackedDataset) -> PackedDataset:
    for line in pack.notes:
        note(line)
    return pack


class _Folder:
    """One split of a CLEVR folder with one question file, and its places in the cache."""

    def __init__(self, root: Path, split: str, questions: Path, cache: Path) -> None:
        self.root, self.split, self.questions, self.cache = root, split, questions, cache
        self.scenes = find_annotations(root, split, "scenes")
        self._images = images_folder(root, split)

    @classmethod
    def find(
        cls,
        data: str | os.PathLike,
        split: str,
        questions: str | os.PathLike | None,
        cache: str | os.PathLike | None,
    ) -> "_Folder":
        cache = Path(cache) if cache is not None else cache_dir()
        check_split(split)
        root = _root(data, split, cache)
        path = find_annotations(root, split, "questions") if questions is None else Path(questions)
        if not path.is_file():
            if inner := [place for place in sorted(root.iterdir()) if (place / "questions").is_dir()]:
                raise InputError(f"{root}: holds no questions itself; give --data {inner[0]}")
            others = [name for name in list_splits(root) if name != split]
            hint = f"--split {' or '.join(others)}, " if others else ""
            raise InputError(
                f"{path}: no such question file; try {hint}--questions FILE, or make one with `vqa data questions`"
            )
        return cls(root.resolve(), split, path.resolve(), cache)

    @cached_property
    def files(self) -> dict[str, tuple[int, int]]:
        """The image files there are, with their sizes and modification times."""
        return list_images(self._images)

    def opened(self, suffix: str, size: tuple[int, int] | None = None) -> PackedDataset:
        """The pack in the cache for this state of JSON and images, made if need be; those of earlier states go."""
        place = _digest(str(self.root), self.split, str(self.questions))
        state = _digest(_CACHE_VERSION, *map(_identity, (self.questions, self.scenes)), sorted(self.files.items()))
        path = self.cache / f"{self.split}-{place}-{state}{suffix}"
        if not path.exists():
            for old in self.cache.glob(f"{self.split}-{place}-{'?' * len(state)}{suffix}"):
                note(f"{self.root}: images or JSON of split {self.split} changed; {old.name} in the cache is made anew")
                old.unlink(missing_ok=True)
            try:
                self.write_pack(path, size)
            except InputError as error:
                if isinstance(error.__cause__, OSError):
                    raise InputError(f"{error}; VQA_CACHE_DIR names another folder for converted data") from error
                raise
        return _announced(PackedDataset(path))

    def write_pack(self, path: Path, size: tuple[int, int] | None = None) -> None:
        """Convert this split's JSON, and with `size` its images."""
        from vqa.utils.images import load_image

        reading = SplitReading(self.split, self.questions, self.scenes, self._images, self.files)
        write_pack(
            path,
            reading.read_scenes(),
            reading.read_questions(),
            self.split,
            load=(lambda name: load_image(self._images / name)) if size else None,
            size=size,
            folder=None if size else self.root,
            left_out=lambda: reading.left_out,
            notes=lambda: list(reading.notes()),
            workers=os.cpu_count() or 1,
        )


def _root(data: str | os.PathLike, split: str, cache: Path) -> Path:
    """The CLEVR folder itself, or the one in the cache that exported data was unpacked to."""
    root = Path(data)
    if root.is_dir():
        if not (root / "questions").is_dir() and (parquet := sorted(root.glob("**/*.parquet"))):
            return _unpacked(str(root.resolve()), split, cache, parquet)
        return root
    if not root.parent.is_dir() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(data)):
        return _unpacked(str(data), split, cache, [])
    raise InputError(
        f"{data}: no such data; expected a CLEVR folder (images/, questions/, scenes/), a packed file, "
        "an exported folder or a hub name such as user/dataset"
    )


def _unpacked(name: str, split: str, cache: Path, files: Sequence[Path]) -> Path:
    """A CLEVR folder made from one split of exported data: `files` of a local folder, or a hub dataset without them."""
    from vqa.clevr.dataset.arrow import load_exported, unpack

    dataset = None if files else load_exported(name, split, cache)
    state = dataset._fingerprint if dataset else list(map(_identity, files))
    root = cache / f"unpacked-{split}-{_digest(_CACHE_VERSION, name, state)}"
    if not root.exists():
        temporary = root.with_name(f".{root.name}.{os.getpid()}.tmp")
        try:
            unpack(dataset or load_exported(name, split, cache), temporary, split)
            if not root.exists():
                temporary.rename(root)
        except OSError as error:
            raise InputError(f"{temporary}: cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    if taken := read_info(questions_path(root, split)).get("columns"):
        note(f"{name}: columns read are {taken:.200}")
    return root


def _identity(path: Path) -> list[Any]:
    """What changes when a file's content does."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return [str(path), None]
    return [str(path), status.st_size, status.st_mtime_ns]


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
