"""Fetching the public CLEVR archives: resumed when cut, verified as far as anything is published, unpacked safely."""

import errno
import hashlib
import http.client
import os
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tqdm import tqdm

from vqa.clevr.dataset.archives import check_structure, require_space, unpack
from vqa.clevr.split_protocols import CLOSURE_FORMS
from vqa.errors import InputError
from vqa.utils.files import lock_folder, read_object, write_json

_CHUNK = 1 << 20
_GB = 10**9
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR)


@dataclass(frozen=True)
class Archive:
    """A public archive: where it is, what is known of it, and what must be in it."""

    name: str
    url: str
    folder: str
    required: Mapping[str, int]
    """Glob pattern of file names -> least number of files."""
    max_size: int
    """Bytes; a larger archive, or one that unpacks to more than ten times this, is refused."""
    size: int | None = None
    """Bytes, where published."""
    checksums: Mapping[str, str] = field(default_factory=dict)
    """hashlib algorithm -> hexadecimal digest, where published."""
    strict: bool = True
    """False where the checksums have one third-party source: a difference is a warning."""
    source: str = ""
    """Where size and checksums come from."""


def _splits(images: Mapping[str, int], scenes: tuple[str, ...]) -> dict[str, int]:
    return {
        **{f"images/{split}/*.png": count for split, count in images.items()},
        **{f"questions/CLEVR_{split}_questions.json": 1 for split in images},
        **{f"scenes/CLEVR_{split}_scenes.json": 1 for split in scenes},
    }


ARCHIVES: dict[str, Archive] = {
    archive.name: archive
    for archive in (
        Archive(
            "clevr",
            "https://dl.fbaipublicfiles.com/clevr/CLEVR_v1.0.zip",
            "CLEVR_v1.0",
            _splits({"train": 70_000, "val": 15_000, "test": 15_000}, ("train", "val")),
            max_size=25 * _GB,
            size=19_021_600_724,
            checksums={
                "md5": "b11922020e72d0cd9154779b2d3d07d2",
                "sha256": "5cd61cf1096ed20944df93c9adb31e74d189b8459a94f54ba00090e5c59936d1",
            },
            source="md5: torchvision, CLEVRClassification; size and sha256: tensorflow_datasets, clevr/checksums.tsv",
        ),
        Archive(
            "cogent",
            "https://dl.fbaipublicfiles.com/clevr/CLEVR_CoGenT_v1.0.zip",
            "CLEVR_CoGenT_v1.0",
            _splits(
                {"trainA": 70_000, "valA": 15_000, "valB": 15_000, "testA": 15_000, "testB": 15_000},
                ("trainA", "valA", "valB"),
            ),
            max_size=35 * _GB,
            checksums={"md5": "9e4a361ab939a4899e6d2ac14a5ee434"},
            strict=False,
            source="md5: NVIDIA NeMo, collections/vis CLEVR data set",
        ),
        Archive(
            "closure",
            "https://zenodo.org/record/3634090/files/closure.zip",
            "CLOSURE",
            {f"{form}_{part}.json": 1 for form in CLOSURE_FORMS for part in ("val", "test")},
            max_size=2 * _GB,
            source="address: the authors' repository github.com/rizar/CLOSURE (questions on CLEVR's val images)",
        ),
        Archive(
            "clevr-humans",
            "https://cs.stanford.edu/people/jcjohns/iep/CLEVR-Humans.zip",
            "CLEVR-Humans",
            {"CLEVR-Humans-train.json": 1, "CLEVR-Humans-val.json": 1},
            max_size=_GB,
            source="address: github.com/facebookresearch/clevr-iep, TRAINING.md",
        ),
    )
}

Report = Callable[[str], None]


def download(
    archive: Archive,
    out: Path,
    *,
    source: str | None = None,
    keep: bool = False,
    report: Report = lambda message: None,
    attempts: int = 5,
    pause: float = 1.0,
) -> Path:
    """Fetch, verify and unpack an archive as `out/archive.folder`; returns that folder.

    source: another address (a mirror), or the path of an archive that is already here.
    keep: leave the fetched zip in `out`.
    report: receives what was verified and what could not be.
    attempts, pause: tries without progress before giving up, and seconds before the second one (doubled each time).

    What was fetched before an interruption is used again. Raises InputError; the folder is complete or not there.
    """
    try:
        with lock_folder(out):  # two downloads into one folder would write the same partial files
            return _download(archive, out, source, keep, report, attempts, pause)
    except BlockingIOError as error:
        raise InputError(f"{out}: another download into this folder is under way: wait for it") from error
    except OSError as error:
        raise InputError(f"{error.filename or out}: {error.strerror or error}") from error


def _download(
    archive: Archive, out: Path, source: str | None, keep: bool, report: Report, attempts: int, pause: float
) -> Path:
    target = out / archive.folder
    if target.exists():
        _check_folder(archive, target)
        report(f"{target} is there already, complete by its files; nothing was fetched")
        return target
    url = source or archive.url
    local = "://" not in url
    zipped = Path(url) if local else out / f"{archive.folder}.zip"
    if local and not zipped.is_file():
        raise InputError(f"{source}: no such file; give an archive, or an address that begins with https://")
    if not zipped.exists():
        part = zipped.with_name(zipped.name + ".part")
        report(f"{archive.name}: fetching {url}" + (f" from byte {_length(part):,} on" if part.exists() else ""))
        fetch(url, part, size=archive.size, max_size=archive.max_size, attempts=attempts, pause=pause)
        _state(part).unlink(missing_ok=True)
        part.replace(zipped)
    try:
        verify(archive, zipped, report)
        size = unpack(zipped, target, required=archive.required, max_bytes=10 * archive.max_size)
    except InputError:
        if not local:
            rejected = zipped.replace(zipped.with_name(zipped.name + ".rejected"))
            report(f"what was fetched is kept as {rejected} for a look; the next run fetches it again")
        raise
    report(f"{target}: {size:,} bytes, the CRC-32 of every file and the list of files are right")
    if not local and not keep:
        zipped.unlink()
    return target


def verify(archive: Archive, path: Path, report: Report = lambda message: None) -> None:
    """Compare an archive's size and digests with those published; raises InputError (a warning if not `strict`)."""
    size = path.stat().st_size
    if archive.size is not None and size != archive.size:
        raise InputError(f"{path}: {size:,} bytes, published are {archive.size:,}: not the archive of {archive.url}")
    digests = {name: hashlib.new(name) for name in archive.checksums}
    if not digests:
        report(f"{archive.name}: no published checksum is known; only size, CRC-32 and the list of files are checked")
        return
    with (
        path.open("rb") as opened,
        tqdm.wrapattr(opened, "read", size, desc=f"verify {path.name}", disable=None) as file,
    ):
        while chunk := file.read(_CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    for name, digest in digests.items():
        wanted, found = archive.checksums[name], digest.hexdigest()
        if found == wanted:
            report(f"{path.name}: {name} {found} is right")
        elif archive.strict:
            raise InputError(f"{path}: {name} is {found}, published is {wanted}: damaged, or another file: run again")
        else:
            report(f"warning: {path.name}: {name} is {found}, {archive.source} has {wanted}")


def fetch(
    url: str,
    part: Path,
    *,
    size: int | None = None,
    max_size: int = 1 << 40,
    attempts: int = 5,
    pause: float = 1.0,
    timeout: float = 60.0,
) -> None:
    """Fetch `url` into `part`, going on where an earlier call stopped (HTTP range requests, RFC 9110 section 14).

    What is there is used only while the server's ETag, Last-Modified and length are the ones noted beside it. A broken
    connection is tried again until `attempts` in a row bring nothing. Raises InputError; `part` then stays for the next
    call.
    """
    if not url.startswith(("https://", "http://")):
        raise InputError(f"{url}: an address must begin with https:// or http://")
    failures = 0
    while True:
        before = _length(part)
        try:
            if _fetch_once(url, part, size, max_size, timeout):
                return
            reason = "the connection was cut"
        except urllib.error.HTTPError as error:
            reason = f"the server says {error.code} {error.reason}"
            if error.code == 416:
                part.unlink(missing_ok=True)
            elif error.code not in (408, 429) and error.code < 500:
                raise InputError(f"{url}: {reason}: get the archive another way and give it with --from") from error
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in _DISK_FAULTS:
                remedy = f"{_length(part):,} bytes are kept: make room or choose another --out, and run again"
                raise InputError(f"{part}: {error}; {remedy}") from error
            reason = str(getattr(error, "reason", "") or error or type(error).__name__)
        failures = 0 if _length(part) > before else failures + 1
        if failures >= attempts:
            raise InputError(f"{url}: {reason}; {_length(part):,} bytes are kept in {part}, run again to resume")
        time.sleep(min(pause * 2.0 ** (failures - 1), 60.0))


def _fetch_once(url: str, part: Path, size: int | None, max_size: int, timeout: float) -> bool:
    """One request; True when the file is complete, False when the connection ended early."""
    state, have = {}, _length(part)
    with suppress(OSError, InputError):
        state = read_object(_state(part), 10_000, "remove it")
    if state.get("url") != url or have > (state.get("total") or have):
        have = 0
    if have and have == state.get("total"):
        return True
    request = urllib.request.Request(url, headers={"User-Agent": "film-se-vqa"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with urllib.request.build_opener(SafeRedirects()).open(request, timeout=timeout) as response:
        resumed = response.status == 206
        total = _total(response)
        marks = {"etag": response.headers.get("ETag"), "modified": response.headers.get("Last-Modified")}
        fresh = {"url": url, "total": total, **marks}
        where = response.headers.get("Content-Range") or ""
        if resumed and (fresh != state or not where.startswith(f"bytes {have}-")):
            part.unlink()
            return False
        wanted = size if size is not None else total
        if total is not None and total != wanted:
            raise InputError(f"{url}: the server offers {total:,} bytes, published are {wanted:,}: another archive")
        if wanted is not None and wanted > max_size:
            raise InputError(f"{url}: {wanted:,} bytes, more than the {max_size:,} expected at most")
        if not resumed:
            have = 0
            # images hardly compress: unpacking will take about as much again
            require_space(part.parent, 2 * (wanted or 0), f"fetching and unpacking {url.rpartition('/')[2]}")
            part.unlink(missing_ok=True)
            write_json(_state(part), fresh)
        with part.open("ab" if resumed else "wb") as file:
            have += _copy(response, file, have, total, max_size)
            file.flush()
            os.fsync(file.fileno())
    return total is None or have == total


def _copy(response: Any, file: IO[bytes], have: int, total: int | None, max_size: int) -> int:
    """Write the response's body to the file; returns its number of bytes, fewer than announced if it was cut."""
    copied, limit = 0, max_size if total is None else total
    with tqdm(total=total, initial=have, unit="B", unit_scale=True, desc="fetch", disable=None) as bar:
        while chunk := response.read(_CHUNK):
            if have + copied + len(chunk) > limit:
                raise InputError(f"{response.url}: sends more than the {limit:,} bytes expected")
            file.write(chunk)
            copied += len(chunk)
            bar.update(len(chunk))
    return copied


def _total(response: Any) -> int | None:
    """The full length of the resource in bytes, or None if the server does not say."""
    header = "Content-Range" if response.status == 206 else "Content-Length"
    stated = (response.headers.get(header) or "").rpartition("/")[2]
    return int(stated) if stated.isdigit() else None


class SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but never from https to http."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.full_url.startswith("https://") and not newurl.startswith("https://"):
            raise InputError(f"{req.full_url}: redirected to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _length(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _state(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _check_folder(archive: Archive, folder: Path) -> None:
    names = [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]
    try:
        check_structure(names, archive.required, folder)
    except InputError as error:
        raise InputError(f"{error}; move the folder away and run again") from error
