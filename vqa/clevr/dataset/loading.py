"""Opening data wherever it lies: a CLEVR folder, a packed file, exported parquet, or a name on the Hugging Face hub.

`open_data` gives the rows, one image each. It reads a folder's JSON once, as a stream, and keeps the result in the
cache as a pack without images, memory-mapped. Only exported data needs `datasets`.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vqa.clevr.annotations import (
    check_split,
    image_path,
    iter_questions,
    iter_scenes,
    list_splits,
    questions_path,
    scenes_path,
)
from vqa.clevr.dataset.packed import PackedDataset, write_pack
from vqa.clevr.question import Question
from vqa.clevr.scenes import Scene
from vqa.errors import InputError

_CACHE_VERSION = 1


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

    `questions` names another question file over the same images; those about images that are not there are left
    out, and counted in `PackedDataset.left_out`. Needs `datasets` for exported data only.
    Raises InputError: nothing there, no such split, no questions, missing images, broken JSON.
    """
    if Path(data).is_file():
        pack = PackedDataset(data)
        if questions is not None:
            raise InputError(f"{data}: a packed file has its own questions; pack the folder again with --questions")
        if split != pack.split:
            raise InputError(f"{data}: packed from split {pack.split!r}, not {split!r}; give --split {pack.split}")
        return pack
    folder = _Folder.find(data, split, questions, cache)
    path = folder.cached(".pack")
    if not path.exists():
        folder.write_pack(path)
    return PackedDataset(path)


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
    from vqa.utils.images import load_image

    folder = _Folder.find(data, split, questions, cache)
    folder.write_pack(
        Path(out),
        load=lambda name: load_image(image_path(folder.root, split, name)),
        size=size,
        workers=os.cpu_count() or 1,
    )
    return PackedDataset(out)


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
    path = _Folder.find(data, split, questions, cache).cached(f".{size[0]}x{size[1]}.pack")
    return (
        PackedDataset(path) if path.exists() else pack_data(data, path, size, split, questions=questions, cache=cache)
    )


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


class _Folder:
    """One split of a CLEVR folder with one question file, and its places in the cache."""

    def __init__(self, root: Path, split: str, questions: Path, cache: Path) -> None:
        self.root, self.split, self.questions, self.cache = root, split, questions, cache
        self.scenes = scenes_path(root, split)

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
        path = questions_path(root, split) if questions is None else Path(questions)
        if not path.is_file():
            others = [name for name in list_splits(root) if name != split]
            hint = f"--split {' or '.join(others)}, " if others else ""
            raise InputError(
                f"{path}: no such question file; try {hint}--questions FILE, or make one with `vqa data questions`"
            )
        return cls(root.resolve(), split, path.resolve(), cache)

    def cached(self, suffix: str) -> Path:
        """The cache file for this state of the folder; files of earlier states are removed."""
        place = _digest(str(self.root), self.split, str(self.questions))
        entries = os.scandir(self._images) if self._images.is_dir() else ()
        linked = sorted(Path(entry.path) for entry in entries if entry.is_symlink())
        state = _digest(_CACHE_VERSION, *map(_identity, (self.questions, self.scenes, self._images, *linked)))
        path = self.cache / f"{self.split}-{place}-{state}{suffix}"
        for old in self.cache.glob(f"{self.split}-{place}-{'?' * len(state)}{suffix}"):
            if old != path:
                old.unlink(missing_ok=True)
        return path

    def write_pack(self, path: Path, **options: Any) -> None:
        """Convert this split's JSON; `options` go to `write_pack`."""
        names: dict[int, str] = {}
        absent: list[str] = []
        own = self.questions == questions_path(self.root, self.split).resolve()

        def scenes() -> Iterator[Scene]:
            for scene in iter_scenes(self.scenes) if self.scenes.exists() else ():
                names[scene.image_index] = scene.image_filename
                yield scene

        def questions() -> Iterator[Question]:
            for i, question in enumerate(iter_questions(self.questions, progress=True)):
                if question.image_filename is None:
                    question = replace(question, image_filename=self._name(question.image_index, names, i))
                assert question.image_filename is not None
                if own or image_path(self.root, self.split, question.image_filename).is_file():
                    yield question
                else:
                    absent.append(question.image_filename)
            if absent and len(absent) == i + 1:
                raise InputError(
                    f"{self.questions}: none of its {i + 1:,} questions is about an image in {self._images}; the "
                    f"first is about {absent[0]}"
                )

        folder = None if "load" in options else self.root
        write_pack(
            path,
            scenes(),
            questions(),
            self.split,
            folder=folder,
            check=self._check_images,
            left_out=lambda: len(absent),
            **options,
        )

    def _name(self, index: int | None, names: dict[int, str], i: int) -> str:
        where = f"{self.questions.name}: questions[{i}]"
        if index is None:
            raise InputError(f"{where}: names no image: image_filename and image_index are missing")
        if index not in names:
            stem = f"CLEVR_{self.split}_{index:06d}"
            found = [name for name in (f"{stem}.png", f"{stem}.jpg") if (self._images / name).is_file()]
            if not found:
                raise InputError(f"{where}: image_filename is missing, and {self._images / stem}.png is not a file")
            names[index] = found[0]
        return names[index]

    @property
    def _images(self) -> Path:
        return self.root / "images" / self.split

    def _check_images(self, names: Sequence[str]) -> None:
        missing = [name for name in names if not image_path(self.root, self.split, name).is_file()]
        if missing:
            raise InputError(
                f"{self._images}: {len(missing)} of {len(names)} images named in {self.questions.name} or "
                f"{self.scenes.name} are missing, the first is {missing[0]}"
            )


def _root(data: str | os.PathLike, split: str, cache: Path) -> Path:
    """The CLEVR folder itself, or the one in the cache that exported data was unpacked to."""
    root = Path(data)
    if root.is_dir():
        parquet = sorted(root.glob("**/*.parquet"))
        if parquet and not (root / "questions").is_dir():
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
