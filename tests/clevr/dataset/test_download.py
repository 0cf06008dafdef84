"""Fetching from a real HTTP server on this machine: resuming, verifying, hostile archives, full disks."""

import hashlib
import io
import os
import random
import stat
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.request import Request

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vqa.clevr.dataset.archives import unpack
from vqa.clevr.dataset.download import ARCHIVES, Archive, SafeRedirects, download, fetch
from vqa.cli import main
from vqa.errors import InputError


@dataclass
class AppContext:
    """What the server offers, and how it misbehaves."""

    body: bytes = b""
    etag: str | None = '"one"'
    ranges: bool = True
    chunked: bool = False
    cuts: list[int] = field(default_factory=list)
    """Each request takes one: the connection ends after so many bytes of the body."""
    statuses: list[int] = field(default_factory=list)
    """Each request takes one: an error instead of the file."""
    down_after: int | None = None
    """Requests after so many get 503."""
    redirect: str | None = None
    requests: list[str | None] = field(default_factory=list)
    """The Range header of each request."""
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: AppContext

    def do_GET(self) -> None:
        site = self.site
        asked = self.headers.get("Range")
        site.requests.append(asked)
        self.close_connection = True
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        if site.down_after is not None and len(site.requests) > site.down_after:
            self.send_error(503)
            return
        if site.redirect:
            self.send_response(302)
            self.send_header("Location", site.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and site.ranges else 0
        if start and start >= len(site.body):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(site.body) - 1}/{len(site.body)}")
        if site.etag:
            self.send_header("ETag", site.etag)
        if site.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(site.body) - start))
        self.end_headers()
        body = site.body[start:]
        cut = site.cuts.pop(0) if site.cuts else len(body)
        if site.chunked:
            self.wfile.write(
                f"{len(body):x}\r\n".encode() + body[:cut] + (b"\r\n0\r\n\r\n" if cut >= len(body) else b"")
            )
        else:
            self.wfile.write(body[:cut])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[AppContext]:
    site = AppContext()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_port}/some.zip"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield site
    server.shutdown()
    server.server_close()


def make_zip(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


NOISE = random.Random(0).randbytes(3_000_000)
FILES = {
    "SET/images/train/a.png": NOISE,
    "SET/questions/CLEVR_train_questions.json": b"{}",
    "__MACOSX/SET/._a": b"x",
    "SET/.DS_Store": b"x",
}


@pytest.fixture
def archive(site: AppContext) -> Archive:
    site.body = make_zip(FILES)
    return Archive(
        "set",
        site.url,
        "SET_v1",
        {"images/train/*.png": 1, "questions/CLEVR_train_questions.json": 1},
        max_size=10_000_000,
        size=len(site.body),
        checksums={name: hashlib.new(name, site.body).hexdigest() for name in ("md5", "sha256")},
        source="this test",
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


GOOD_TREE = {"images/train/a.png": NOISE, "questions/CLEVR_train_questions.json": b"{}"}


def test_a_whole_download_leaves_only_the_folder(archive: Archive, tmp_path: Path) -> None:
    said: list[str] = []
    folder = download(archive, tmp_path / "data", report=said.append)
    assert folder == tmp_path / "data" / "SET_v1"
    assert tree(tmp_path / "data") == {f"SET_v1/{name}": data for name, data in GOOD_TREE.items()}
    assert sum("is right" in message for message in said) == 2, said


def test_a_second_call_fetches_nothing(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    download(archive, tmp_path)
    site.requests.clear()
    said: list[str] = []
    download(archive, tmp_path, report=said.append)
    assert site.requests == []
    assert "nothing was fetched" in said[0]


def test_a_folder_that_lacks_files_is_not_taken_for_complete(archive: Archive, tmp_path: Path) -> None:
    (download(archive, tmp_path) / "images/train/a.png").unlink()
    with pytest.raises(InputError, match=r"images/train/\*\.png.*move the folder away"):
        download(archive, tmp_path)


def test_keep_leaves_the_archive_and_it_is_used_again(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    folder = download(archive, tmp_path, keep=True)
    assert (tmp_path / "SET_v1.zip").read_bytes() == site.body
    folder.rename(tmp_path / "elsewhere")
    site.requests.clear()
    download(archive, tmp_path)
    assert site.requests == []


def test_cut_connections_are_resumed_where_they_stopped(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    site.cuts = [1_000_000, 500_000, 0, 1]
    folder = download(archive, tmp_path, pause=0)
    assert tree(folder) == GOOD_TREE
    assert site.requests == [None, "bytes=1000000-", "bytes=1500000-", "bytes=1500000-", "bytes=1500001-"]


def fetch_a_million_bytes(site: AppContext, part: Path) -> None:
    """The connection is cut, then the server is down: what a killed process leaves as well."""
    site.cuts, site.down_after = [1_000_000], 1
    with pytest.raises(InputError, match=r"503 .*1,000,000 bytes are kept in .*run again"):
        fetch(site.url, part, attempts=2, pause=0)
    site.cuts, site.down_after = [], None
    site.requests.clear()


def test_a_later_call_goes_on_from_what_is_there(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    fetch_a_million_bytes(site, tmp_path / "SET_v1.zip.part")
    assert tree(download(archive, tmp_path)) == GOOD_TREE
    assert site.requests == ["bytes=1000000-"]


def test_a_complete_part_is_not_fetched_again(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    part = tmp_path / "SET_v1.zip.part"
    fetch(site.url, part)
    site.requests.clear()
    assert tree(download(archive, tmp_path)) == GOOD_TREE
    assert site.requests == []


@pytest.mark.parametrize(("body", "etag"), [(NOISE[::-1], '"two"'), (NOISE[:2_000_000], '"one"'), (NOISE[:9], '"one"')])
def test_a_file_that_changed_on_the_server_is_fetched_anew(
    site: AppContext, tmp_path: Path, body: bytes, etag: str
) -> None:
    part = tmp_path / "part"
    site.body = NOISE
    fetch_a_million_bytes(site, part)
    site.body, site.etag = body, etag
    fetch(site.url, part, pause=0)
    assert part.read_bytes() == body


def test_a_server_without_ranges_starts_over(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    site.ranges, site.cuts = False, [1_000_000]
    assert tree(download(archive, tmp_path, pause=0)) == GOOD_TREE
    assert site.requests == [None, "bytes=1000000-"]


def test_leftovers_of_another_address_are_not_joined(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    (tmp_path / "SET_v1.zip.part").write_bytes(b"something else")
    assert tree(download(archive, tmp_path)) == GOOD_TREE
    assert site.requests == [None]


def test_a_leftover_longer_than_the_file_is_dropped(site: AppContext, tmp_path: Path) -> None:
    part = tmp_path / "part"
    site.body = NOISE
    fetch_a_million_bytes(site, part)
    part.write_bytes(NOISE + b"more")
    fetch(site.url, part, pause=0)
    assert part.read_bytes() == NOISE


@pytest.mark.parametrize("statuses", [[503, 429], [500], [408]])
def test_passing_server_errors_are_tried_again(
    archive: Archive, site: AppContext, tmp_path: Path, statuses: list[int]
) -> None:
    site.statuses = list(statuses)
    download(archive, tmp_path, pause=0)
    assert len(site.requests) == len(statuses) + 1


def test_a_missing_file_is_not_tried_again(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    site.statuses = [404] * 5
    with pytest.raises(InputError, match=r"404 .*--from"):
        download(archive, tmp_path, pause=0)
    assert len(site.requests) == 1


def test_nobody_listening(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="refused"):
        download(replace(archive, url="http://127.0.0.1:9/x.zip"), tmp_path, attempts=2, pause=0)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x.zip", "gopher://x/"])
def test_other_kinds_of_address_are_refused(archive: Archive, tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="https://"):
        download(archive, tmp_path, source=url)


def test_redirections_are_followed_but_not_to_files(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    site.redirect = "file:///etc/passwd"
    with pytest.raises(InputError):
        download(archive, tmp_path, attempts=1, pause=0)
    assert not (tmp_path / "SET_v1").exists()


def test_redirections_never_leave_https() -> None:
    request = Request("https://example.org/x.zip")
    with pytest.raises(InputError, match="not https"):
        SafeRedirects().redirect_request(request, None, 302, "Found", {}, "http://example.org/x.zip")


def test_wrong_checksum_is_refused_and_the_file_set_aside(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    wrong = replace(archive, checksums={"md5": "0" * 32})
    with pytest.raises(InputError, match=r"md5 is [0-9a-f]{32}, published is 0{32}"):
        download(wrong, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["SET_v1.zip.rejected"]
    download(archive, tmp_path)
    assert len(site.requests) == 2, "the rejected file must not be used again"


def test_wrong_checksum_of_a_third_party_is_a_warning(archive: Archive, tmp_path: Path) -> None:
    said: list[str] = []
    download(replace(archive, checksums={"md5": "0" * 32}, strict=False), tmp_path, report=said.append)
    assert any(message.startswith("warning") and "this test" in message for message in said)


def test_without_a_checksum_it_says_so(archive: Archive, tmp_path: Path) -> None:
    said: list[str] = []
    download(replace(archive, checksums={}, size=None), tmp_path, report=said.append)
    assert any("no published checksum is known" in message for message in said)


def test_another_length_than_published_is_refused_before_fetching(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="published are 5"):
        download(replace(archive, size=5), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("chunked", [True, False])
def test_a_server_that_never_stops_is_cut_off(
    archive: Archive, site: AppContext, tmp_path: Path, chunked: bool
) -> None:
    site.chunked = chunked
    with pytest.raises(InputError, match="expected"):
        download(replace(archive, size=None, max_size=1_000_000), tmp_path)
    assert not (tmp_path / "SET_v1").exists()


def test_a_server_that_does_not_tell_the_length(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    site.chunked, site.cuts = True, [1_000_000]
    assert tree(download(replace(archive, size=None), tmp_path, pause=0)) == GOOD_TREE


def test_a_local_archive_is_used_and_stays(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    local = tmp_path / "mine.zip"
    local.write_bytes(site.body)
    assert tree(download(archive, tmp_path / "data", source=str(local))) == GOOD_TREE
    assert local.read_bytes() == site.body
    assert site.requests == []
    with pytest.raises(InputError, match="no such file"):
        download(archive, tmp_path / "other", source="absent.zip")


def test_an_archive_of_something_else_is_refused(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    site.body = make_zip({"cats/1.png": b"x"})
    with pytest.raises(InputError, match=r"0 files images/train/\*\.png, expected 1"):
        download(replace(archive, size=None, checksums={}), tmp_path)
    assert not (tmp_path / "SET_v1").exists()


def test_a_web_page_instead_of_an_archive(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    site.body = b"<html>log in</html>"
    with pytest.raises(InputError, match="not a usable zip"):
        download(replace(archive, size=None, checksums={}), tmp_path)


def test_two_downloads_into_one_folder(archive: Archive, tmp_path: Path) -> None:
    fcntl = pytest.importorskip("fcntl")
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(InputError, match="another download"):
        download(archive, tmp_path)
    os.close(handle)
    download(archive, tmp_path)


def test_out_that_is_a_file(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(InputError, match="data"):
        download(archive, tmp_path / "data")


def test_a_file_that_the_system_will_not_let_grow(archive: Archive, site: AppContext, tmp_path: Path) -> None:
    """The kernel refuses to write past a limit, as on a full disk; what was written is used when there is room."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, hard))
    try:
        with pytest.raises(InputError, match=r"File too large.* bytes are kept: make room"):
            download(archive, tmp_path, pause=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept = (tmp_path / "SET_v1.zip.part").stat().st_size
    assert 0 < kept <= 2_500_000
    assert tree(download(archive, tmp_path)) == GOOD_TREE
    assert site.requests == [None, f"bytes={kept}-"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many bytes."""
    mounted: list[Path] = []

    def mount(size: int) -> Path:
        folder = tmp_path / "disk"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("mounting a small disk needs root")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_too_small_is_seen_before_fetching(archive: Archive, small_disk: Callable[[int], Path]) -> None:
    disk = small_disk(4 << 20)
    with pytest.raises(InputError, match=r"needs 6,\d{3},\d{3} bytes and \d,\d{3},\d{3} are free"):
        download(archive, disk)
    assert list(disk.iterdir()) == []


def test_a_disk_that_fills_up_while_fetching(
    archive: Archive, site: AppContext, small_disk: Callable[[int], Path], tmp_path: Path
) -> None:
    disk = small_disk(2 << 20)
    site.chunked = True  # the length is not known beforehand
    with pytest.raises(InputError, match="No space left on device"):
        download(replace(archive, size=None), disk, pause=0)
    assert not (disk / "SET_v1").exists()


def test_a_disk_too_small_to_unpack_keeps_the_archive(
    archive: Archive, site: AppContext, small_disk: Callable[[int], Path]
) -> None:
    disk = small_disk(5 << 20)
    files = {
        "images/train/b.png": bytes(9 << 20),
        "images/train/a.png": b"",
        "questions/CLEVR_train_questions.json": b"",
    }
    site.body = make_zip(files, zipfile.ZIP_DEFLATED)
    big = replace(archive, size=None, checksums={})
    with pytest.raises(InputError, match="needs 9,437,184 bytes"):
        download(big, disk)
    assert [path.name for path in disk.iterdir()] == ["SET_v1.zip"]


def write_zip(path: Path, entries: list[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for info, data in entries:
            archive.writestr(info, data)
    return path


def special(name: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (mode | 0o644) << 16
    return info


def raw_name(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name
    return info


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([("../evil", b"x")], "outside"),
        ([("a/../../evil", b"x")], "outside"),
        ([("/etc/evil", b"x")], "outside"),
        ([("a//b", b"x")], "outside"),
        ([("./a", b"x")], "outside"),
        ([(raw_name("..\\evil"), b"x")], "character"),
        ([("C:/evil", b"x")], "character"),
        ([("a\nb", b"x")], "character"),
        ([("n" * 300, b"x")], "too long"),
        ([(special("link", stat.S_IFLNK), b"/etc/passwd")], "link"),
        ([(special("pipe", stat.S_IFIFO), b"")], "link"),
        ([(special("device", stat.S_IFCHR), b"")], "link"),
        ([("a", b"1"), ("b", b""), ("a", b"2")], "twice"),
        ([("x/A.png", b"1"), ("x/a.png", b"2")], "twice"),
        ([("b", b""), ("a", b"1"), ("a/b", b"2")], "both a file and a folder"),
        ([("b", b""), ("a/", b""), ("a", b"2")], "both a file and a folder"),
        ([("zeros", bytes(2_000_001))], "more than the 2,000,000"),
        ([(f"{i}", b"") for i in range(101)], "101 members"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_archives_are_refused_before_anything_is_written(
    tmp_path: Path, entries: list[tuple[zipfile.ZipInfo | str, bytes]], reason: str
) -> None:
    path = write_zip(tmp_path / "bad.zip", entries)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=reason):
        unpack(path, tmp_path / "out", max_bytes=2_000_000, max_files=100)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    """10 MB of zeros, declared as 10 bytes in both headers: at most the declared bytes may come out."""
    path = write_zip(tmp_path / "bomb.zip", [])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10_000_000))
    data = path.read_bytes().replace((10_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"damaged|cut short"):
        unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_encrypted_member(tmp_path: Path) -> None:
    data = bytearray(make_zip({"a": b"secret"}))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "locked.zip"
    path.write_bytes(data)
    with pytest.raises(InputError, match="encrypted"):
        unpack(path, tmp_path / "out")


def test_a_wrong_crc_leaves_nothing(tmp_path: Path) -> None:
    data = make_zip({"first": b"fine", "second": NOISE[:1000]})
    path = tmp_path / "rotten.zip"
    path.write_bytes(data.replace(NOISE[:1000], NOISE[1:1001]))
    with pytest.raises(InputError, match=r"second.*CRC"):
        unpack(path, tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["rotten.zip"]


def test_unpacking_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already"):
        unpack(write_zip(tmp_path / "a.zip", [("a", b"")]), tmp_path / "out")


def test_remains_of_a_killed_run_are_replaced(tmp_path: Path) -> None:
    (tmp_path / ".out.partial" / "junk").mkdir(parents=True)
    unpack(write_zip(tmp_path / "a.zip", [("a", b"1"), ("b", b"2")]), tmp_path / "out")
    assert tree(tmp_path / "out") == {"a": b"1", "b": b"2"}
    assert not (tmp_path / ".out.partial").exists()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_never_escape_or_half_write(tmp_path: Path, data: st.DataObject) -> None:
    """Any change of a few bytes gives either the right files or an InputError, and nothing beside the folder."""
    good = make_zip({"top/a.png": NOISE[:500], "top/b/c.json": b'{"a": 1}' * 20}, zipfile.ZIP_DEFLATED)
    changed = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    changed = changed[: data.draw(st.integers(0, len(good)))] if data.draw(st.booleans()) else changed
    folder = tmp_path / f"case{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    (folder / "x.zip").write_bytes(changed)
    try:
        unpack(folder / "x.zip", folder / "out", max_bytes=10_000)
    except InputError:
        assert [path.name for path in folder.iterdir()] == ["x.zip"]
    else:
        assert sorted(path.name for path in folder.iterdir()) == ["out", "x.zip"]
        assert set(tree(folder / "out").values()) <= {NOISE[:500], b'{"a": 1}' * 20}


def test_every_known_archive_can_be_cited() -> None:
    assert set(ARCHIVES) == {"clevr", "cogent", "closure", "clevr-humans"}
    for archive in ARCHIVES.values():
        assert archive.url.startswith("https://")
        assert archive.required
        assert archive.source
        for algorithm, digest in archive.checksums.items():
            assert len(digest) == 2 * hashlib.new(algorithm).digest_size


def test_the_command(site: AppContext, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.body = make_zip({"CLEVR-Humans/CLEVR-Humans-train.json": b"{}", "CLEVR-Humans/CLEVR-Humans-val.json": b"{}"})
    command = ["data", "download", "clevr-humans", "--out", str(tmp_path), "--from", site.url]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert out == f"{tmp_path / 'CLEVR-Humans'}\n"
    assert "no published checksum is known" in err
    assert len(tree(tmp_path / "CLEVR-Humans")) == 2

    assert main(["data", "download", "clevr", "--out", str(tmp_path), "--from", site.url]) == 2
    assert "published are 19,021,600,724" in capsys.readouterr().err
    assert main(["data", "download", "clevr", "closure", "--out", str(tmp_path), "--from", site.url]) == 2
