"""Files: writing that leaves nothing half-written, a folder's lock, and JSON whose errors are named."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import orjson

from vqa.errors import InputError

_LFS = b"version https://git-lfs"
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_MAX_DEPTH = 2000


def read_limited(path: str | os.PathLike, most: int, remedy: str) -> bytes:
    """The bytes of a file of at most `most` bytes.

    Raises FileNotFoundError if there is none, and InputError, with `remedy`, if it is larger or cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            text = file.read(most + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(text) > most:
        raise InputError(f"{path}: larger than {most:,} bytes, so not what its name says; {remedy}")
    return text


def read_object(path: str | os.PathLike, most: int, remedy: str) -> dict[str, Any]:
    """The JSON object of a file of at most `most` bytes, as `read_limited`; InputError, too, for any other content."""
    text = read_limited(path, most, remedy)
    try:
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON, or cut short; {remedy}") from error
    if not isinstance(record, dict):
        raise InputError(f"{path}: holds no JSON object; {remedy}")
    return record


def encoding_of(start: bytes, path: str | os.PathLike) -> str:
    """The encoding that the first bytes of a text file show; UTF-8 without a byte-order mark.

    Raises InputError, saying which, for an empty file and for a Git LFS pointer.
    """
    if not start.strip():
        raise InputError(f"{path}: is empty; fetch or write it again")
    if start.startswith(_LFS):
        raise InputError(f"{path}: is a Git LFS pointer, not the file itself; run `git lfs pull` in its repository")
    return next((name for mark, name in _BOMS.items() if start.startswith(mark)), "utf-8")


def skip_mark(file: IO[bytes], path: str | os.PathLike) -> None:
    """Go to where the JSON of a file begins, after a byte-order mark. Raises InputError as `encoding_of` does."""
    encoding = encoding_of(file.read(64), path)
    if encoding == "utf-16":
        raise InputError(f"{path}: is UTF-16; save it as UTF-8")
    file.seek(3 if encoding == "utf-8-sig" else 0)


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[IO[bytes]]:
    """A binary file that appears under `path` (folders made) when the block ends well, and never in part.

    Raises InputError if the folder cannot be written or the disk is full.
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


def write_file(path: str | os.PathLike, content: bytes) -> None:
    """Write a file as `atomic_write` does."""
    with atomic_write(path) as file:
        file.write(content)


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Write a value as indented JSON, as `atomic_write` does."""
    write_file(
        path,
        orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY) + b"\n",
    )


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder that appears under `path` when the block ends well, and never in part; one already there is kept.

    Raises InputError if it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if not path.exists():
            temporary.rename(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def lock_folder(folder: Path) -> Iterator[int | None]:
    """Hold a folder (made if need be) alone on this machine until the block and every child that has the handle end.

    Gives the lock's handle; None on Windows, which has no such lock. Raises BlockingIOError if another process holds
    the folder.
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


class ShallowJson:
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


def with_progress(file: IO[bytes], path: Path, progress: bool) -> Any:
    """A context manager that gives the open file itself, with a bar of what is read of it if `progress`."""
    if not progress:
        return nullcontext(file)
    from tqdm import tqdm

    return tqdm.wrapattr(file, "read", total=path.stat().st_size, desc=path.name, leave=False, disable=None)


def first_line(error: Exception) -> str:
    """The first line of an error's message, at most 300 characters; its kind where it has none."""
    return (str(error).strip().split("\n", 1)[0] or type(error).__name__)[:300]
