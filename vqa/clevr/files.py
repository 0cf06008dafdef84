"""CLEVR v1.0's folder layout: where its files lie, and how its questions, scenes and pictures are read and written.

    ROOT/images/SPLIT/*.png                      pictures
    ROOT/questions/CLEVR_SPLIT_questions.json    {"info": {...}, "questions": [...]}
    ROOT/scenes/CLEVR_SPLIT_scenes.json          {"info": {...}, "scenes": [...]}

JSON is read as a stream: a question file of 800 MB costs a question's memory. Files are written beside their name and
then renamed, so that none is ever half there.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vqa.clevr.programs import Program, program_from_json, question_type, signature
from vqa.clevr.scenes import Scene
from vqa.errors import InputError

_LARGEST_INDEX = 2**31 - 1
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_MAX_DEPTH = 2000
_CHUNK = 4096


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one picture; what a file leaves out is None (test questions have no answer, for example)."""

    question: str
    answer: str | None = None
    program: Program | None = None
    image_filename: str | None = None
    image_index: int | None = None
    split: str | None = None
    question_index: int | None = None
    question_family_index: int | None = None
    template_filename: str | None = None

    @property
    def family(self) -> str | None:
        """What tells question families apart: "template file:index", or the program's signature without a template.

        `question_family_index` alone is not unique in every file: some count from zero in each template.
        """
        if self.template_filename is not None and self.question_family_index is not None:
            return f"{self.template_filename}:{self.question_family_index}"
        return signature(self.program) if self.program else None

    @property
    def type(self) -> str | None:
        """One of `vocabulary.QUESTION_TYPES`, from the program; None without a program."""
        return question_type(self.program) if self.program else None

    @classmethod
    def from_json(cls, record: Any, where: str = "question") -> "Question":
        """Read one entry of a question file. Raises InputError naming `where` and the field."""
        if not isinstance(record, Mapping):
            raise InputError(f"{where}: expected an object with the field 'question', got {record!r:.80}")
        if not isinstance(record.get("question"), str):
            raise InputError(f"{where}.question: expected the question's words, got {record.get('question')!r:.80}")
        filename = _text(record, "image_filename", where)
        program = record.get("program")
        return cls(
            _encodable(record["question"], f"{where}.question"),
            _text(record, "answer", where),
            program_from_json(program, f"{where}.program") if program else None,
            filename if filename is None else safe_filename(filename, f"{where}.image_filename"),
            _index(record, "image_index", where),
            _text(record, "split", where),
            _index(record, "question_index", where),
            _index(record, "question_family_index", where),
            _text(record, "template_filename", where),
        )

    def to_json(self) -> dict[str, Any]:
        """The question as CLEVR's question files store it, without the fields it does not have."""
        record = {
            "question_index": self.question_index,
            "question_family_index": self.question_family_index,
            "template_filename": self.template_filename,
            "image_index": self.image_index,
            "image_filename": self.image_filename,
            "split": self.split,
            "question": self.question,
            "answer": self.answer,
            "program": [step.to_json() for step in self.program] if self.program else None,
        }
        return {name: value for name, value in record.items() if value is not None}


def questions_path(root: str | os.PathLike, split: str) -> Path:
    """`ROOT/questions/CLEVR_SPLIT_questions.json`."""
    return Path(root, "questions", f"CLEVR_{check_split(split)}_questions.json")


def scenes_path(root: str | os.PathLike, split: str) -> Path:
    """`ROOT/scenes/CLEVR_SPLIT_scenes.json`."""
    return Path(root, "scenes", f"CLEVR_{check_split(split)}_scenes.json")


def image_path(root: str | os.PathLike, split: str, filename: str, where: str = "image_filename") -> Path:
    """`ROOT/images/SPLIT/FILENAME`, which need not exist. Raises InputError for a name that leaves that folder."""
    return Path(root, "images", check_split(split), safe_filename(filename, where))


def list_splits(root: str | os.PathLike) -> list[str]:
    """The splits that have a question file, sorted."""
    found = (re.fullmatch(r"CLEVR_(.+)_questions\.json", path.name) for path in Path(root, "questions").glob("*.json"))
    return sorted(match[1] for match in found if match)


def check_split(split: str) -> str:
    """The split's name itself. Raises InputError for one that could not be part of a file name."""
    if not re.fullmatch(r"\w[\w.-]*", split):
        raise InputError(f"split {split!r:.80}: expected a name such as train, val or valA")
    return split


def safe_filename(filename: str, where: str = "image_filename") -> str:
    """The name itself. Raises InputError unless it is a relative path that stays below its folder on any system."""
    parts = PurePosixPath(filename).parts
    if not parts or filename.startswith("/") or ".." in parts or re.search(r"[\\:\x00-\x1f\ud800-\udfff]", filename):
        raise InputError(f"{where}: {filename!r:.200} must be a plain file name inside images/SPLIT")
    return filename


def iter_records(path: str | os.PathLike, key: str, *, progress: bool = False) -> Iterator[Any]:
    """Stream the raw entries of the list `key` ("questions" or "scenes") of a JSON file; `progress` shows a bar.

    Raises InputError naming the file: no such file, not JSON, cut short, no entry.
    """
    import ijson  # here, so that a machine that only reads packed files can do without

    path = Path(path)
    count = 0
    try:
        with path.open("rb") as opened, _reading(opened, path, progress) as file:
            for record in ijson.items(_Shallow(file, path), f"{key}.item", buf_size=_CHUNK, use_float=True):
                yield record
                count += 1
    except ijson.IncompleteJSONError as error:
        raise InputError(
            f"{path}: cut short or not JSON after {key}[{count}]: {_reason(error)}; fetch it again"
        ) from error
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON after {key}[{count}]: {_reason(error)}") from error
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    if not count:
        raise InputError(f"{path}: holds no {key}: expected {{{key!r}: [...]}} with at least one entry")


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
        where = f"{name}: scenes[{i}]"
        scene = Scene.from_json(record, where)
        safe_filename(_text(record, "image_filename", where) or "", f"{where}.image_filename")
        _index(record, "image_index", where)
        yield scene


def read_scenes(path: str | os.PathLike) -> dict[str, Scene]:
    """image_filename -> scene, in the file's order. Raises InputError, also where two scenes name one picture."""
    scenes: dict[str, Scene] = {}
    for i, scene in enumerate(iter_scenes(path)):
        if scene.image_filename in scenes:
            raise InputError(
                f"{Path(path).name}: scenes[{i}].image_filename: {scene.image_filename} has a scene already"
            )
        scenes[scene.image_filename] = scene
    return scenes


def read_info(path: str | os.PathLike) -> dict[str, Any]:
    """The `info` of a question or scene file: split, version, date, licence; empty where it has none."""
    import ijson

    with Path(path).open("rb") as file:
        try:
            shallow = _Shallow(file, Path(path))
            info: Any = next(ijson.items(shallow, "info", buf_size=_CHUNK, use_float=True), {})
        except ijson.JSONError:
            return {}
    return info if isinstance(info, dict) else {}


def write_questions(
    path: str | os.PathLike, questions: Iterable[Question], info: Mapping[str, Any] | None = None
) -> int:
    """Write a question file in CLEVR's format; returns how many. Nothing stands under `path` until all are written."""
    return _write(path, "questions", (question.to_json() for question in questions), info)


def write_scenes(path: str | os.PathLike, scenes: Iterable[Scene], info: Mapping[str, Any] | None = None) -> int:
    """Write a scene file in CLEVR's format; returns how many. Nothing stands under `path` until all are written."""
    return _write(path, "scenes", (scene.to_json() for scene in scenes), info)


def read_object(path: str | os.PathLike, most: int, remedy: str) -> dict[str, Any]:
    """The JSON object of a file that holds at most `most` bytes when it is what it should be.

    Raises FileNotFoundError where there is none, and InputError, with `remedy`, for any other file.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
        record = json.loads(text) if len(text) <= most else None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON, or cut short; {remedy}") from error
    if len(text) > most:
        raise InputError(f"{path}: larger than {most:,} bytes, so not what its name says; {remedy}")
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds no JSON object; {remedy}")
    return record


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` (folders made) when the block ends well, and never in part.

    Raises InputError where the place cannot be written or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def lock_folder(folder: Path) -> Iterator[int | None]:
    """Hold a folder (made) alone on this machine until the block ends, and any child that inherits the lock's handle.

    Gives that handle; None on Windows, where there is no lock. Raises BlockingIOError where another holds the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield None
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield handle
    finally:
        os.close(handle)


def _write(path: str | os.PathLike, key: str, records: Iterable[dict], info: Mapping[str, Any] | None) -> int:
    import orjson

    count = 0
    with atomic_write(path) as file:
        file.write(b'{"info":' + orjson.dumps(dict(info or {})) + f',"{key}":['.encode())
        for record in records:
            file.write((b",\n" if count else b"\n") + orjson.dumps(record))
            count += 1
        file.write(b"\n]}\n")
    return count


class _Shallow:
    """A JSON file that refuses deep nesting, on which ijson spends time and memory in the square of the depth."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self.file, self.path = file, path
        self.depth, self.rest = 0, b""

    def read(self, size: int) -> bytes:
        chunk = self.file.read(size)
        structure, unfinished, string = _STRING.sub(b"", self.rest + chunk).partition(b'"')
        escaping = (len(string) - len(string.rstrip(b"\\"))) % 2
        self.rest = unfinished + b"\\" * escaping
        opened = structure.count(b"[") + structure.count(b"{")
        if self.depth + opened > _MAX_DEPTH:
            raise InputError(f"{self.path}: nested deeper than any CLEVR file; fetch or write it again")
        self.depth += opened - structure.count(b"]") - structure.count(b"}")
        return chunk


def _reading(file: IO[bytes], path: Path, progress: bool) -> Any:
    if not progress:
        return nullcontext(file)
    from tqdm import tqdm

    return tqdm.wrapattr(file, "read", total=path.stat().st_size, desc=path.name, leave=False, disable=None)


def _reason(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:120]


def _text(record: Mapping, name: str, where: str) -> str | None:
    value = record.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{where}.{name}: expected text, got {value!r:.80}")
    return value if value is None else _encodable(value, f"{where}.{name}")


def _encodable(text: str, where: str) -> str:
    if not text.isascii() and re.search(r"[\ud800-\udfff]", text):
        raise InputError(f"{where}: half a surrogate pair is not text: {text!r:.80}")
    return text


def _index(record: Mapping, name: str, where: str) -> int | None:
    value = record.get(name)
    if value is not None and (type(value) is not int or not 0 <= value <= _LARGEST_INDEX):
        raise InputError(f"{where}.{name}: expected a number from 0 to {_LARGEST_INDEX}, got {value!r:.80}")
    return value
