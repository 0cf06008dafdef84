"""Opening data wherever it lies: a CLEVR folder or a zip of it, a packed file, rows (parquet, tars, the hub).

`open_data` gives the rows, one image each. It reads the JSON once, as a stream, and keeps the result in the cache as a
pack without images, memory-mapped. Only rows need `datasets`.
"""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vqa.clevr.annotations import (
    check_split,
    find_annotations,
    list_splits,
    nearest_dataset,
    no_dataset,
    questions_path,
    read_info,
)
from vqa.clevr.dataset.archives import open_archive, unpack
from vqa.clevr.dataset.image_store import find_images
from vqa.clevr.dataset.packed import PackedDataset, write_pack
from vqa.clevr.dataset.reading import SplitReading
from vqa.errors import InputError
from vqa.utils.files import atomic_folder
from vqa.utils.notes import note

_CACHE_VERSION = 2
_ROW_FILES = ("*.parquet", "*.tar", "*.arrow", "*.tfrecord*")


def cache_dir() -> Path:
    """Where converted data is kept: $VQA_CACHE_DIR, or `vqa` in the user's cache folder ($XDG_CACHE_HOME, ~/.cache)."""
    if chosen := os.environ.get("VQA_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vqa")


def open_data(data: str | os.PathLike, split: str = "train", **source: Any) -> PackedDataset:
    """The rows of one split of `data`: a CLEVR folder or a zip of it, a packed file, rows on disk or on the hub.

    Args:
        questions: another question file over the same images.
        columns: which columns of rows are what, as "image=x,question=y,answer=z".
        cache: folder for what is converted (default: `cache_dir()`).

    What is about images that are not there is left out, and counted in `PackedDataset.left_out`.
    Raises InputError: nothing there, no such split, no questions, no image at all, broken JSON.
    """
    if (pack := _pack_file(data, split, **source)) is not None:
        return _announced(pack)
    return _Split(data, split, **source).opened(".pack")


def pack_data(
    data: str | os.PathLike, out: str | os.PathLike, size: tuple[int, int], split: str = "train", **source: Any
) -> PackedDataset:
    """Write one split with its images at `size` (H, W) to the file `out`; arguments and errors as `open_data`'s."""
    _Split(data, split, **source).write_pack(Path(out), size)
    return _announced(PackedDataset(out))


def open_images(data: str | os.PathLike, size: tuple[int, int], split: str = "train", **source: Any) -> PackedDataset:
    """`open_data` with the images decoded to `size` (H, W) in one memory-mapped array, made once and cached.

    Raises InputError as `open_data` does, and for a packed file of another size.
    """
    if (pack := _pack_file(data, split, **source)) is not None:
        if pack.images is None or pack.images.shape[1:3] != tuple(size):
            height, width = size
            raise InputError(f"{data}: not packed at {height}x{width}, which this model reads; `vqa data pack --size`")
        return _announced(pack)
    return _Split(data, split, **source).opened(f".{size[0]}x{size[1]}.pack", size)


def export_data(
    data: str | os.PathLike,
    out: str | os.PathLike,
    splits: Sequence[str] | None = None,
    *,
    title: str | None = None,
    **source: Any,
) -> dict[str, int]:
    """Write `splits` (all that have questions) as parquet with a dataset card; returns the images of each.

    Raises InputError as `open_data` does, and where `out` exists.
    """
    from vqa.clevr.dataset.export import export

    splits = list(dict.fromkeys(splits or splits_of(data)))
    if not splits:
        raise no_dataset(data, "holds no questions/CLEVR_SPLIT_questions.json")
    packs = [open_data(data, split, **source) for split in splits]
    export(packs, out, title or Path(data).resolve().name)
    return {pack.split: len(pack) for pack in packs}


def splits_of(data: str | os.PathLike) -> list[str]:
    """The splits with questions of a CLEVR folder, a zip of it, or a packed file; empty for other data."""
    path = Path(data)
    if not path.is_file():
        return list_splits(path)
    if path.suffix == ".zip":
        names = [str(place) for _, place in open_archive(path)[1]]
        found = (re.fullmatch(r"questions/CLEVR_(.+)_questions\.json|([^/]+)/questions\.json", name) for name in names)
        return sorted(match[1] or match[2] for match in found if match)
    return [] if _row_files(path) else [PackedDataset(path).split]


def require_complete(pack: PackedDataset) -> None:
    """Raises InputError where questions were left out because their images are not there: `--strict`."""
    if pack.left_out:
        share = f"{pack.left_out:,} of {pack.left_out + len(pack.answers):,} questions"
        raise InputError(f"--strict: {share} are about missing images; fetch them, or leave --strict out")


def _pack_file(data: str | os.PathLike, split: str, questions: Any = None, **source: Any) -> PackedDataset | None:
    """The pack that `data` is, or None. Raises InputError for other files, and for what does not go with a pack."""
    path = Path(data)
    if not path.is_file() or path.suffix == ".zip" or _row_files(path):
        return None
    if path.suffix in (".json", ".jsonl"):
        raise no_dataset(path, "is a file of JSON, which --questions takes", "--data ")
    pack = PackedDataset(path)
    if questions is not None:
        raise InputError(f"{data}: a packed file has its own questions; pack the folder again with --questions")
    if split != pack.split:
        raise InputError(f"{data}: packed from split {pack.split!r}, not {split!r}; give --split {pack.split}")
    return pack


def _announced(pack: PackedDataset) -> PackedDataset:
    for line in pack.notes:
        note(line)
    return pack


class _Split:
    """One split of a CLEVR folder with one question file, and its places in the cache."""

    def __init__(
        self,
        data: str | os.PathLike,
        split: str,
        questions: str | os.PathLike | None = None,
        columns: str | None = None,
        cache: str | os.PathLike | None = None,
    ) -> None:
        self.split, self.cache = check_split(split), Path(cache) if cache is not None else cache_dir()
        root, self.folder = _find_root(data, split, columns, self.cache)
        path = find_annotations(root, split, "questions") if questions is None else Path(questions)
        if not path.is_file():
            others = [name for name in splits_of(self.folder) if name != split]
            if not others and questions is None and nearest_dataset(data):
                raise no_dataset(data, "holds no questions itself", "--data ")
            hint = f"--split {' or '.join(others)}, " if others else ""
            shown = self.folder / path.relative_to(root) if questions is None else path
            remedy = f"try {hint}--questions FILE, or make one with `vqa data questions`"
            raise InputError(f"{shown}: no such question file; {remedy}")
        self.questions, self.scenes = path.resolve(), find_annotations(root.resolve(), split, "scenes")
        self.images = find_images(self.folder, split)

    def opened(self, suffix: str, size: tuple[int, int] | None = None) -> PackedDataset:
        """The pack in the cache for this state of JSON and images, made if need be; those of earlier states go."""
        place = _digest(str(self.folder), self.split, str(self.questions))
        files = sorted(self.images.files.items())
        state = _digest(_CACHE_VERSION, *map(_identity, (self.questions, self.scenes)), files)
        path = self.cache / f"{self.split}-{place}-{state}{suffix}"
        if not path.exists():
            for old in self.cache.glob(f"{self.split}-{place}-{'?' * len(state)}{suffix}"):
                changed = f"images or JSON of split {self.split} changed"
                note(f"{self.folder}: {changed}; {old.name} in the cache is made again")
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

        reading = SplitReading(self.split, self.questions, self.scenes, self.images.place, self.images.files)
        write_pack(
            path,
            reading.read_scenes(),
            reading.read_questions(),
            self.split,
            load=(lambda name: load_image(self.images.open(name))) if size else None,
            size=size,
            folder=None if size else self.folder,
            left_out=lambda: reading.left_out,
            notes=lambda: list(reading.notes()),
            workers=os.cpu_count() or 1,
        )


def _find_root(data: str | os.PathLike, split: str, columns: str | None, cache: Path) -> tuple[Path, Path]:
    """The CLEVR folder with the JSON, in the cache where it had to be unpacked, and the folder or zip of the images."""
    path = Path(data)
    if path.suffix == ".zip" and path.is_file():
        names = ("CLEVR_{}_{}.json", "CLEVR_{1}.json", "{}/{}.json")
        wanted = {name.format(split, kind) for name in names for kind in ("questions", "scenes")}
        root = cache / f"zip-{split}-{_digest(_CACHE_VERSION, *_identity(path.resolve()))}"
        try:
            if not root.exists():
                unpack(path, root, wanted=lambda place: place.name in wanted or str(place) in wanted)
        except OSError as error:
            raise InputError(f"{root}: cannot be written: {error.strerror or error}; set VQA_CACHE_DIR") from error
        return root, path.resolve()
    files = _row_files(path)
    if files or (not path.exists() and not path.parent.is_dir() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(data))):
        name = str(path.resolve()) if files else str(data)
        root = _unpacked(name, split, columns, cache, files)
        return root, root.resolve()
    if not path.is_dir():
        raise no_dataset(data, "no such data: neither a CLEVR folder, a packed file, rows, nor a hub name", "--data ")
    return path, path.resolve()


def _row_files(path: Path) -> list[Path]:
    """The files of rows that `path` is or has; none where it has question files."""
    if path.is_file():
        return [path] if any(path.match(pattern) for pattern in _ROW_FILES) else []
    if not path.is_dir() or (path / "questions").is_dir() or list_splits(path):
        return []
    return next(filter(None, (sorted(path.rglob(pattern)) for pattern in _ROW_FILES)), [])


def _unpacked(name: str, split: str, columns: str | None, cache: Path, files: Sequence[Path]) -> Path:
    """A CLEVR folder made from one split of rows: `files` on disk, or a hub dataset without them."""
    from vqa.clevr.dataset.rows import choose_columns, open_rows, unpack_rows

    rows = None if files else open_rows(name, files, split, cache)
    state = rows._fingerprint if rows is not None else list(map(_identity, files))
    root = cache / f"unpacked-{split}-{_digest(_CACHE_VERSION, name, state, columns)}"
    if not root.exists():
        rows = rows if rows is not None else open_rows(name, files, split, cache)
        chosen = choose_columns(rows.column_names, columns, name)
        with atomic_folder(root) as folder:
            unpack_rows(rows, chosen, folder, split)
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
