"""CLEVR v1.0's folder layout: where its files lie, and how its questions, scenes and images are read and written.

    ROOT/images/SPLIT/*.png                      images
    ROOT/questions/CLEVR_SPLIT_questions.json    {"info": {...}, "questions": [...]}
    ROOT/scenes/CLEVR_SPLIT_scenes.json          {"info": {...}, "scenes": [...]}

Read, too: the official generator's output (ROOT/CLEVR_questions.json, ROOT/CLEVR_scenes.json, images in ROOT/images
itself), and a folder for each split (ROOT/SPLIT/questions.json, scenes.json and images/), as NSCL has it.
JSON is read as a stream: a question file of 800 MB costs a question's memory. Files are written beside their name and
then renamed, so that none is ever half there.
"""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import SequenceMatcher
from pathlib import Path
from typing import IO, Any

import ijson
import orjson

from vqa.clevr.question import Question, index_field, safe_filename, text_field
from vqa.clevr.scenes import Scene
from vqa.errors import InputError
from vqa.utils.files import ShallowJson, atomic_write, first_line, skip_mark, with_progress

_CHUNK = 4096


def questions_path(root: str | os.PathLike, split: str) -> Path:
    """`ROOT/questions/CLEVR_SPLIT_questions.json`."""
    return Path(root, "questions", f"CLEVR_{check_split(split)}_questions.json")


def scenes_path(root: str | os.PathLike, split: str) -> Path:
    """`ROOT/scenes/CLEVR_SPLIT_scenes.json`."""
    return Path(root, "scenes", f"CLEVR_{check_split(split)}_scenes.json")


def find_annotations(root: str | os.PathLike, split: str, kind: str) -> Path:
    """Where to read the "questions" or "scenes" of a split, which need not exist."""
    path = (questions_path if kind == "questions" else scenes_path)(root, split)
    if path.exists():
        return path
    if (inner := Path(root, split, f"{kind}.json")).is_file():
        return inner
    whole = Path(root, f"CLEVR_{kind}.json")  # the official generator's, of one split
    return whole if whole.is_file() and read_info(whole).get("split") == split else path


def image_path(root: str | os.PathLike, split: str, filename: str, where: str = "image_filename") -> Path:
    """`ROOT/images/SPLIT/FILENAME`, which need not exist. Raises InputError for a name that leaves that folder."""
    return images_folder(root, split) / safe_filename(filename, where)


def images_folder(root: str | os.PathLike, split: str) -> Path:
    """`ROOT/images/SPLIT`; without it `ROOT/SPLIT/images`, or `ROOT/images` if there are files in that."""
    folder = Path(root, "images", check_split(split))
    if not folder.is_dir() and (inner := Path(root, split, "images")).is_dir():
        return inner
    if not folder.is_dir() and folder.parent.is_dir():
        with os.scandir(folder.parent) as entries:
            if any(entry.is_file() and entry.name[0] != "." for entry in entries):
                return folder.parent
    return folder


def list_images(folder: Path) -> dict[str, tuple[int, int]]:
    """Path below `folder` -> size and modification time (ns) of every file in it, hidden ones left out.

    Links are followed: the folders of a merged split are links.
    """
    found: dict[str, tuple[int, int]] = {}
    pending, seen = [(folder, "")], set()
    while pending:
        place, prefix = pending.pop()
        try:
            status = place.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name[0] == ".":
                        continue
                    if entry.is_dir():
                        pending.append((Path(entry.path), f"{prefix}{entry.name}/"))
                    elif entry.is_file():
                        status = entry.stat()
                        found[prefix + entry.name] = (status.st_size, status.st_mtime_ns)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InputError(f"{place}: cannot be read: {error.strerror or error}") from error
    return found


def list_splits(root: str | os.PathLike) -> list[str]:
    """The splits that have a question file, sorted."""
    found = (re.fullmatch(r"CLEVR_(.+)_questions\.json", path.name) for path in Path(root, "questions").glob("*.json"))
    whole = Path(root, "CLEVR_questions.json")
    stated = read_info(whole).get("split") if whole.is_file() else None
    inner = {path.parent.name for path in Path(root).glob("*/questions.json")}
    return sorted({match[1] for match in found if match} | inner | ({stated} if isinstance(stated, str) else set()))


def choose_splits(
    root: str | os.PathLike, found: Collection[str], wanted: Collection[str] | None, lacks: str
) -> list[str]:
    """The splits found in a folder, or those wanted, sorted.

    Raises InputError, saying what the folder `lacks`, if there is none, and for one wanted that is missing.
    """
    if not found:
        raise no_dataset(root, lacks)
    if missing := sorted({*(wanted or ())} - {*found}):
        raise InputError(f"{root}: no split {missing[0]!r:.80}; it has {', '.join(sorted(found))}")
    return sorted({*(wanted or found)})


def nearest_dataset(place: str | os.PathLike) -> Path | None:
    """The folder in CLEVR's layout that may have been meant: above, below or beside `place`, or None."""
    path = Path(os.path.abspath(place))  # noqa: PTH100 - links stay as they were given
    there = next((folder for folder in (path, *path.parents) if folder.is_dir()), path)
    below, level = [], [there]
    for _ in range(4):
        level = [inner for folder in level for inner in _folders(folder)][:1000]
        below += sorted(level, key=lambda inner: -SequenceMatcher(None, inner.name, path.name).ratio())
    inside = ("images", "questions", "scenes")
    above = [
        folder
        for folder, part in zip(path.parents, reversed(path.parts), strict=False)
        if path.exists() and (part in inside or (folder / part / "questions.json").is_file())
    ][:3]
    return next((folder for folder in (*above, *below) if _is_dataset(folder)), None)


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    except OSError:
        return []


def _is_dataset(folder: Path) -> bool:
    whole = (folder / "CLEVR_questions.json").is_file() or any(folder.glob("*/questions.json"))
    return whole or any(folder.glob("questions/CLEVR_*_questions.json"))


def no_dataset(place: str | os.PathLike, what: str, flag: str = "") -> InputError:
    """The error for a place that is not a dataset, naming a dataset nearby if there is one."""
    near = nearest_dataset(place)
    return InputError(f"{place}: {what}; " + (f"give {flag}{near}" if near else "give a folder in CLEVR's layout"))


def check_split(split: str) -> str:
    """The split's name itself. Raises InputError for one that could not be part of a file name."""
    if not re.fullmatch(r"\w[\w.-]*", split):
        raise InputError(f"split {split!r:.80}: expected a name such as train, val or valA")
    return split


def iter_records(path: str | os.PathLike, key: str, *, progress: bool = False) -> Iterator[Any]:
    """Stream the raw entries of the list `key` ("questions" or "scenes") of a JSON file; `progress` shows a bar.

    Raises InputError naming the file: no such file, not JSON, cut short, no entry.
    """
    path = Path(path)
    count = 0
    try:
        with path.open("rb") as opened, with_progress(opened, path, progress) as file:
            skip_mark(opened, path)
            prefix, several = _form(opened)
            reader = ShallowJson(file, path)
            for record in ijson.items(
                reader, f"{key}.item" if prefix is None else prefix, buf_size=_CHUNK, use_float=True, **several
            ):
                yield record
                count += 1
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        what = "cut short or not JSON" if isinstance(error, ijson.IncompleteJSONError) else "not valid JSON"
        remedy = "JSON has no NaN and no Infinity" if re.search("NaN|Infinity", str(error)) else "fetch it again"
        raise InputError(f"{path}: {what} after {key}[{count}]: {first_line(error)}; {remedy}") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if not count:
        raise InputError(f"{path}: holds no {key}: expected {{{key!r}: [...]}} with at least one entry")


def _form(file: IO[bytes]) -> tuple[str | None, dict[str, bool]]:
    """How a file holds its records: ijson's prefix (None: in CLEVR's object) and options; the file's position stays.

    Besides CLEVR's one object there are lists, and JSON lines with one record each.
    """
    begin = file.tell()
    first = file.readline(1 << 20).strip()
    rest = file.read(64).strip()
    file.seek(begin)
    if first.startswith(b"["):
        return "item", {}
    if rest.startswith(b"{") and first.endswith(b"}"):
        return "", {"multiple_values": True}
    return None, {}


def iter_questions(path: str | os.PathLike, *, progress: bool = False) -> Iterator[Question]:
    """Stream a question file; its memory does not grow with the file. `progress` shows a bar.

    Raises InputError naming the file, the entry and the field: no such file, JSON cut short, a broken entry, no entry.
    """
    name = Path(path).name
    for i, record in enumerate(iter_records(path, "questions", progress=progress)):
        yield Question.from_json(record, f"{name}: questions[{i}]")


def read_questions(path: str | os.PathLike) -> list[Question]:
    """All questions of a file, in its order (about 5 kB of memory each)."""
    return list(iter_questions(path))


def iter_scenes(path: str | os.PathLike) -> Iterator[Scene]:
    """Stream a scene file; raises InputError as `iter_questions` does."""
    name = Path(path).name
    for i, record in enumerate(iter_records(path, "scenes")):
        yield scene_of_image(record, f"{name}: scenes[{i}]")


def scene_of_image(record: Any, where: str) -> Scene:
    """A scene of a file, which names its image. Raises InputError naming `where` and the field."""
    scene = Scene.from_json(record, where)
    safe_filename(text_field(record, "image_filename", where) or "", f"{where}.image_filename")
    index_field(record, "image_index", where)
    return scene


def read_scenes(path: str | os.PathLike) -> dict[str, Scene]:
    """image_filename -> scene, in the file's order. Raises InputError, also where two scenes name one image."""
    scenes: dict[str, Scene] = {}
    for i, scene in enumerate(iter_scenes(path)):
        name = scene.image_filename
        if scenes.setdefault(name, scene) is not scene:
            raise InputError(f"{Path(path).name}: scenes[{i}].image_filename: {name} has a scene already")
    return scenes


def read_info(path: str | os.PathLike) -> dict[str, Any]:
    """The `info` of a question or scene file: split, version, date, licence; empty where it has none."""
    with Path(path).open("rb") as file:
        try:
            skip_mark(file, path)
            shallow = ShallowJson(file, Path(path))
            info: Any = next(ijson.items(shallow, "info", buf_size=_CHUNK, use_float=True), {})
        except (ijson.JSONError, InputError):  # reported where the entries are read
            return {}
    return info if isinstance(info, dict) else {}


def write_questions(
    path: str | os.PathLike, questions: Iterable[Question], info: Mapping[str, Any] | None = None
) -> int:
    """Write a question file in CLEVR's format; returns how many. `path` appears when all are written."""
    return _write(path, "questions", (question.to_json() for question in questions), info)


def write_scenes(path: str | os.PathLike, scenes: Iterable[Scene], info: Mapping[str, Any] | None = None) -> int:
    """Write a scene file in CLEVR's format; returns how many. `path` appears when all are written."""
    return _write(path, "scenes", (scene.to_json() for scene in scenes), info)


def _write(path: str | os.PathLike, key: str, records: Iterable[dict], info: Mapping[str, Any] | None) -> int:
    count = 0
    with atomic_write(path) as file:
        file.write(b'{"info":' + orjson.dumps(dict(info or {})) + f',"{key}":['.encode())
        for record in records:
            file.write((b",\n" if count else b"\n") + orjson.dumps(record))
            count += 1
        file.write(b"\n]}\n")
    return count
