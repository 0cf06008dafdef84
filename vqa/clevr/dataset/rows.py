"""Datasets of rows as a CLEVR folder: parquet, the hub, `save_to_disk` folders, webdataset tars, TFRecords.

A row has an image and a question, or several: those of `vqa data export`, or the Cauldron's turns of user and
assistant.
"""

import hashlib
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import orjson
from datasets import Image, List

from vqa.clevr.annotations import questions_path, scenes_path, write_questions, write_scenes
from vqa.clevr.dataset.image_store import IMAGE_SUFFIXES, LARGEST_MEMBER
from vqa.clevr.question import Question, safe_filename
from vqa.clevr.scenes import Scene
from vqa.errors import InputError

_KNOWN = {
    "image": ("image", "images"),
    "question": ("questions", "texts", "question", "problem"),
    "answer": ("answer", "answers", "solution"),
}
"""What a row must have (an answer it may have) -> the columns that are taken for it, in order of preference."""

_ANSWER = re.compile(r"<answer>(.*?)</answer>", re.DOTALL)
_ROW = ("image_filename", "image_index", "split")


def open_rows(name: str, files: Sequence[Path], split: str, cache: Path) -> Any:
    """The rows of a folder, whose `files` are given, or of a hub dataset without them; they can be iterated twice.

    Raises InputError: none there, no such split, damaged.
    """
    if files and (files[0].suffix == ".tar" or ".tfrecord" in files[0].name):
        names = (split, "validation") if split == "val" else (split,)
        chosen = [path for path in files if len(files) == 1 or any(name in path.name for name in names)]
        return _Samples(chosen or files, _tar_samples if files[0].suffix == ".tar" else _tfrecord_samples)
    try:
        if files and files[0].suffix == ".arrow":
            found = datasets.load_from_disk(name)
            return found[split] if isinstance(found, datasets.DatasetDict) else found
        of_file = {"path": "parquet", "data_files": {split: name}} if Path(name).is_file() else {"path": name}
        kept = str(cache / "datasets") if files else None
        return datasets.load_dataset(**of_file, split=split, cache_dir=kept)
    except Exception as error:  # the hub client, the builders and pyarrow share no base class
        raise InputError(f"{name}: no dataset that can be loaded with split {split!r}: {error}") from error


def choose_columns(names: Sequence[str], given: str | None, where: str) -> dict[str, str]:
    """ "image", "question" and, if there are any, "answer" -> the column with it.

    `given` is as `--columns` has it, "image=x,question=y,answer=z"; what it leaves out is found by its usual name.
    Raises InputError for columns that are not there.
    """
    chosen = {kind: name for kind, _, name in (pair.partition("=") for pair in given.split(","))} if given else {}
    if given and (not chosen.keys() <= _KNOWN.keys() or not all(chosen.values())):
        raise InputError(f"--columns {given:.80}: expected image=NAME,question=NAME,answer=NAME")
    found = {kind: next((name for name in known if name in names), None) for kind, known in _KNOWN.items()}
    columns = {kind: name for kind, name in (found | chosen).items() if name}
    lacking = [f"{kind} ({columns[kind]})" for kind in columns if columns[kind] not in names]
    lacking += [kind for kind in ("image", "question") if kind not in columns]
    if lacking:
        there = f"no column for {', '.join(lacking):.80}; it has {', '.join(names):.200}"
        raise InputError(f"{where}: {there}: say which with --columns image=NAME,question=NAME,answer=NAME")
    return columns


def unpack_rows(rows: Any, columns: Mapping[str, str], root: Path, split: str) -> None:
    """Write rows as a CLEVR folder, each image once. Raises InputError naming the row and field of what is broken."""
    kept = [name for name in (*columns.values(), *_ROW) if name in rows.column_names]
    chosen = rows.select_columns(list(dict.fromkeys(kept)))
    undecoded = Image(decode=False)
    for kind, plain in ((Image, undecoded), (List, List(undecoded))):
        if isinstance(getattr(chosen, "features", {}).get(columns["image"]), kind):
            chosen = chosen.cast_column(columns["image"], plain)
    (root / "images" / split).mkdir(parents=True)
    turns = "turns of user and assistant" if columns["question"] == "texts" else None
    taken = ", ".join(f"{name} for {turns if turns and kind == 'question' else kind}" for kind, name in columns.items())
    ours = {"scene", "questions", *_ROW} <= {*rows.column_names}
    info = {"split": split} | ({} if ours else {"columns": taken})
    write_questions(questions_path(root, split), _questions(chosen, columns, root / "images" / split, split), info)
    if ours:
        scenes = _scenes(rows.select_columns(["scene", *_ROW]))
        if not write_scenes(scenes_path(root, split), scenes, {"split": split}):
            scenes_path(root, split).unlink()


def _questions(rows: Iterable[dict], columns: Mapping[str, str], folder: Path, split: str) -> Iterator[Question]:
    known: dict[bytes, int] = {}
    count = 0
    for i, row in enumerate(rows):
        where = f"row {i}"
        content = _content(row[columns["image"]], f"{where}: {columns['image']}")
        index = known.setdefault(hashlib.sha256(content).digest(), len(known))
        suffix = "png" if content.startswith(b"\x89PNG") else "jpg"
        name = row.get("image_filename") or f"CLEVR_{split}_{index:06d}.{suffix}"
        path = folder / safe_filename(name, f"{where}: image_filename")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        elif row.get("image_filename") and path.read_bytes() != content:
            raise InputError(f"{where}: image_filename: {name} is the name of another image already")
        image = {"image_filename": name, "image_index": index if row.get("image_index") is None else row["image_index"]}
        for j, record in enumerate(_records(row, columns, where)):
            numbered = {"question_index": count, "split": split, **image} | record
            yield Question.from_json(numbered | image, f"{where}: {columns['question']}[{j}]")
            count += 1


def _content(value: Any, where: str) -> bytes:
    items = value if isinstance(value, list) else [value]
    if len(items) != 1:
        raise InputError(f"{where}: {len(items)} images, expected one")
    content = items[0].get("bytes") if isinstance(items[0], dict) else items[0]
    if not isinstance(content, bytes) or not content:
        raise InputError(f"{where}: the image has no bytes in the file")
    return content


def _records(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Iterator[dict[str, Any]]:
    """The questions of a row as question files have them, as far as the row says."""
    asked, answers = row[columns["question"]], row.get(columns.get("answer", ""))
    items = asked if isinstance(asked, list) else [asked]
    if not isinstance(asked, list):
        answers = [answers]
    elif not isinstance(answers, list) or not answers:
        answers = [None] * len(items)
    if len(answers) != len(items):
        raise InputError(f"{where}: {len(items)} questions with {len(answers)} answers")
    for item, answer in zip(items, answers, strict=True):
        if isinstance(item, dict) and {"user", "assistant"} <= item.keys():
            item, answer = item["user"], item["assistant"]
        elif columns["question"] == "texts":
            raise InputError(f"{where}.texts: expected turns of user and assistant, got {item!r:.80}")
        if isinstance(item, dict):
            yield _without_none(item)
        else:
            tagged = _ANSWER.search(answer) if isinstance(answer, str) else None
            text = item.replace("<image>", " ").strip() if isinstance(item, str) else item
            yield {"question": text, "answer": tagged[1].strip() if tagged else answer}


def _scenes(rows: Iterable[dict]) -> Iterator[Scene]:
    for i, row in enumerate(rows):
        if row["scene"]:
            yield Scene.from_json(_without_none(row["scene"]) | {name: row[name] for name in _ROW}, f"row {i}: scene")


def _without_none(value: Any) -> Any:
    """Arrow fills absent fields with None; CLEVR's files leave them out."""
    if isinstance(value, dict):
        return {name: _without_none(item) for name, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value


class _Samples:
    """The rows of files that are read one after another."""

    def __init__(self, paths: Sequence[Path], read: Callable[[Path], Iterator[dict[str, Any]]]) -> None:
        self.paths, self.read = paths, read

    @property
    def column_names(self) -> list[str]:
        """The fields of the first sample."""
        return list(next(iter(self), {}))

    def select_columns(self, names: Sequence[str]) -> "_Samples":
        """All of it; a sample is read whole."""
        return self

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for path in self.paths:
            try:
                yield from self.read(path)
            except InputError:
                raise
            except (tarfile.TarError, OSError, EOFError, ValueError, IndexError, KeyError) as error:
                raise InputError(f"{path}: not a usable {path.suffix[1:9]} ({error}); fetch it again") from error


def _tar_samples(path: Path) -> Iterator[dict[str, Any]]:
    """A webdataset's: members of one name up to its first dot, an image and fields of JSON or text."""
    with tarfile.open(path, "r:") as archive:
        key = ""
        sample: dict[str, Any] = {}
        for member in archive:
            place = PurePosixPath(member.name)
            stem, _, kind = place.name.partition(".")
            if not member.isreg() or not stem:
                continue
            if sample and str(place.parent / stem) != key:
                yield sample
                sample = {}
            key = str(place.parent / stem)
            sample |= _field(kind.lower(), archive, member, path)
        if sample:
            yield sample


def _field(kind: str, archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> dict[str, Any]:
    """What a member adds to its sample: an image, the fields of JSON, or text under its suffix; others are left out."""
    _check_size(member.size, path)
    source = archive.extractfile(member)
    if source is None or f".{kind}" not in (*IMAGE_SUFFIXES, ".json", ".txt", ".question", ".answer"):
        return {}
    content = source.read()
    if kind == "json":
        found = orjson.loads(content)
        return found if isinstance(found, dict) else {"json": found}
    return {"image": content} if f".{kind}" in IMAGE_SUFFIXES else {kind: content.decode()}


def _tfrecord_samples(path: Path) -> Iterator[dict[str, Any]]:
    """Those of tensorflow_datasets' `clevr`: TFRecords (length, checksum, record, checksum) of tf.train.Example.

    Only fields of bytes are read: the image, its name, and its questions and answers.
    """
    with path.open("rb") as file:
        while head := file.read(12):
            size = int.from_bytes(head[:8], "little")
            _check_size(size, path)
            record = file.read(size + 4)
            if len(record) < size + 4:
                raise EOFError("cut short")
            entries = [dict(_fields(entry)) for _, some in _fields(record[:size]) for _, entry in _fields(some)]
            found = {entry[1].decode().rpartition("/")[2]: dict(_fields(entry[2])).get(1) for entry in entries}
            values = {name: [value for _, value in _fields(some)] for name, some in found.items() if some}
            yield {
                "image": values["image"][0],
                "image_filename": values["file_name"][0].decode(),
                **{name: [text.decode() for text in values.get(name, ())] for name in ("question", "answer")},
            }


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer: number, and bytes or a whole number."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte, at = message[at], at + 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield number, message[at : at + size]
        at += size


def _check_size(size: int, path: Path) -> None:
    if size > LARGEST_MEMBER:
        raise InputError(f"{path}: a sample says {size:,} bytes, more than images have; fetch it again")
