"""Unpacking a zip archive that may be hostile: nothing outside the folder, no links, no bombs, all or nothing."""

import errno
import shutil
import stat
import struct
import unicodedata
import zipfile
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from vqa.errors import InputError

_BROKEN = (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError, struct.error)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)

Entry = tuple[zipfile.ZipInfo, PurePosixPath]
"""A member and where it goes, relative to the target folder."""


def unpack(
    path: Path,
    target: Path,
    *,
    required: Mapping[str, int] | None = None,
    wanted: Callable[[PurePosixPath], bool] = lambda place: True,
    max_bytes: int = 1 << 40,
    max_files: int = 1 << 20,
) -> int:
    """Unpack the zip `path` as the folder `target`, which must not exist; returns the number of bytes written.

    A single top folder in the archive is left out, so that `target` holds its content; `__MACOSX` and `.DS_Store` are
    skipped. Everything is checked before the first byte is written: names (absolute, `..`, backslashes, duplicates also
    by letter case), kinds (only files and folders), encryption, the sum of sizes (`max_bytes`), the number of files and
    `required`, glob pattern -> least number of files. Only what is `wanted` is written, and each file's CRC-32 checked.
    The folder appears under its name when all of it is there. Raises InputError naming the archive, the member and the
    remedy; OSError where the disk is full or the folder cannot be written.
    """
    from tqdm import tqdm

    if target.exists():
        raise InputError(f"{target} exists already: move it away first")
    partial = target.with_name(f".{target.name}.partial")
    archive, entries = open_archive(path, max_bytes, max_files)
    try:
        with archive:
            check_structure([str(place) for info, place in entries if not info.is_dir()], required or {}, path)
            entries = [(info, place) for info, place in entries if wanted(place)]
            size = sum(info.file_size for info, _ in entries)
            target.parent.mkdir(parents=True, exist_ok=True)
            require_space(target.parent, size, f"unpacking {path.name}")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            with tqdm(total=size, unit="B", unit_scale=True, desc=f"unpack {target.name}", disable=None) as bar:
                for info, place in entries:
                    info.filename = str(place) + "/" * info.is_dir()
                    _extract(archive, info, partial, path)
                    bar.update(info.file_size)
        partial.replace(target)
        return size
    except _BROKEN as error:
        raise InputError(f"{path}: not a usable zip archive ({error}): fetch it again") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_archive(path: Path, max_bytes: int = 1 << 40, max_files: int = 1 << 20) -> tuple[zipfile.ZipFile, list[Entry]]:
    """A zip with its members and their places. Raises InputError for a file that is not a zip, or not safe."""
    try:
        archive = zipfile.ZipFile(path)
    except _BROKEN as error:
        raise InputError(f"{path}: not a usable zip archive ({error}): fetch it again") from error
    try:
        return archive, _entries(archive, path, max_bytes, max_files)
    except InputError:
        archive.close()
        raise


def _entries(archive: zipfile.ZipFile, path: Path, max_bytes: int, max_files: int) -> list[Entry]:
    infos = [info for info in archive.infolist() if not _is_litter(info.filename)]
    if len(infos) > max_files:
        raise InputError(f"{path}: {len(infos):,} members, more than the {max_files:,} that this archive may hold")
    total = sum(info.file_size for info in infos)
    if total > max_bytes:
        raise InputError(f"{path}: would unpack to {total:,} bytes, more than the {max_bytes:,} expected at most")
    places = [_place(info, path) for info in infos]
    tops = {place.parts[0] for place in places}
    if len(tops) == 1 and all(len(place.parts) > 1 or info.is_dir() for info, place in zip(infos, places, strict=True)):
        places = [place.relative_to(place.parts[0]) for place in places]
    entries = [(info, place) for info, place in zip(infos, places, strict=True) if place.parts]
    _refuse_clashes(entries, path)
    return entries


def check_structure(names: Sequence[str], required: Mapping[str, int], where: Path) -> None:
    """Raise InputError unless each glob pattern of `required` matches at least that many of the names."""
    for pattern, least in required.items():
        found = sum(fnmatchcase(name, pattern) for name in names)
        if found < least:
            counts = f"{found:,} files {pattern}, expected {least:,}"
            raise InputError(f"{where}: {counts}: another archive, or a part of it")


def require_space(folder: Path, size: int, task: str) -> None:
    """Raise OSError (ENOSPC) unless the disk of `folder` has `size` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(errno.ENOSPC, f"{task} needs {size:,} bytes and {free:,} are free", str(folder))


def _is_litter(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2] == ".DS_Store"


def _place(info: zipfile.ZipInfo, path: Path) -> PurePosixPath:
    name, raw = info.filename, info.orig_filename

    def refuse(reason: str) -> InputError:
        return InputError(f"{path}: member {raw!r:.100} {reason}; the archive is not unpacked")

    if "\\" in raw or ":" in raw or any(unicodedata.category(char) == "Cc" for char in raw):
        raise refuse("has a character that file names must not have")
    parts = name.rstrip("/").split("/")
    if name.startswith("/") or any(part in ("", ".", "..") for part in parts):
        raise refuse("points outside the folder")
    if any(len(part.encode()) > 255 for part in parts) or len(name) > 1000:
        raise refuse("has too long a name")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > info.is_dir():
        raise refuse("is a link or a device")
    if info.flag_bits & 1:
        raise refuse("is encrypted")
    if info.compress_type not in _METHODS:
        raise refuse(f"is compressed by an unknown method ({info.compress_type})")
    return PurePosixPath(*parts)


def _refuse_clashes(entries: Sequence[Entry], path: Path) -> None:
    files: set[str] = set()
    folders: set[str] = set()
    for info, place in entries:
        key = unicodedata.normalize("NFC", str(place)).casefold()
        if not info.is_dir():
            if key in files:
                raise InputError(f"{path}: member {info.filename!r:.100} comes twice; the archive is not unpacked")
            files.add(key)
        folders.update(str(parent) for parent in PurePosixPath(key).parents)
        if info.is_dir():
            folders.add(key)
    if clash := files & folders:
        raise InputError(f"{path}: {min(clash)!r:.100} is both a file and a folder; the archive is not unpacked")


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path, path: Path) -> None:
    member = f"{path}: member {info.orig_filename!r:.100}"
    try:
        written = Path(archive.extract(info, folder)).stat().st_size
    except Exception as error:  # whatever a decompressor raises on damaged bytes
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # the disk's
            raise
        raise InputError(f"{member} is damaged ({error}): fetch it again") from error
    if not info.is_dir() and written != info.file_size:
        raise InputError(f"{member} is cut short: fetch the archive again")
