"""The image files of a split where they lie: in a folder, or in zip or tar archives, of which none is unpacked."""

import io
import tarfile
import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from vqa.clevr.annotations import images_folder, list_images
from vqa.clevr.dataset.archives import open_archive
from vqa.clevr.question import safe_filename
from vqa.errors import InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
LARGEST_MEMBER = 1 << 28
"""Bytes of an image in an archive; anything larger is refused."""


class ImageFolder:
    """Images that are files of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place

    @cached_property
    def files(self) -> dict[str, tuple[int, int]]:
        """Path below the folder -> size and modification time (ns)."""
        return list_images(self.place)

    def open(self, name: str) -> Path:
        """Where an image lies. Raises InputError for a name that leaves the folder."""
        return self.place / safe_filename(name)


class ArchivedImages:
    """Images in a zip, below one of the `folders`, or in tars, wherever in them; several threads may read."""

    def __init__(self, archives: Sequence[Path], folders: Sequence[str] = ("",)) -> None:
        self.archives, self.folders = archives, folders
        self.place = archives[0] if len(archives) == 1 else archives[0].parent

    @property
    def files(self) -> dict[str, tuple[int, int]]:
        """Name of an image -> the size and modification time (ns) of its archive."""
        return {name: identity for name, (identity, _, _) in self._members.items()}

    def open(self, name: str) -> IO[bytes]:
        """An image's bytes as an open file with a name. Raises InputError where there is none, or it is damaged."""
        label = f"{self.place}: {name}"
        if name not in self._members:
            raise InputError(f"{label:.300}: no such image")
        _, archive, member = self._members[name]
        try:
            if isinstance(archive, zipfile.ZipFile):
                content = archive.read(member)
            else:
                with archive.open("rb") as file:
                    file.seek(member.offset_data)
                    content = file.read(member.size)
        except Exception as error:  # whatever a decompressor raises on damaged bytes
            raise InputError(f"{label}: cannot be read: {error}") from error
        found = io.BytesIO(content)
        found.name = label  # type: ignore[attr-defined]
        return found

    @cached_property
    def _members(self) -> dict[str, tuple[tuple[int, int], Any, Any]]:
        found: dict[str, dict[str, tuple[tuple[int, int], Any, Any]]] = {folder: {} for folder in self.folders}
        for path in self.archives:
            status = path.stat()
            identity = status.st_size, status.st_mtime_ns
            for archive, member, place, size in _zip_members(path) if path.suffix == ".zip" else _tar_members(path):
                folder = next((folder for folder in self.folders if place.is_relative_to(folder)), None)
                if folder is None or place.suffix.lower() not in IMAGE_SUFFIXES:
                    continue
                if size > LARGEST_MEMBER:
                    raise InputError(f"{path}: {place!s:.100} says {size:,} bytes, too many for an image")
                name = str(place.relative_to(folder)) if folder else place.name
                found[folder].setdefault(name, (identity, archive, member))
        return next(filter(None, found.values()), {})


def find_images(root: Path, split: str) -> ImageFolder | ArchivedImages:
    """Where the images of a split of a dataset are; `root` is its folder, or a zip of it. There need be none."""
    if root.is_file():
        return ArchivedImages([root], [f"images/{split}", f"{split}/images", "images"])
    folder = images_folder(root, split)
    if not folder.is_dir() and (tars := sorted((root / split).glob("*.tar"))):  # as in laion/clevr-webdataset
        return ArchivedImages(tars)
    return ImageFolder(folder)


def _zip_members(path: Path):
    archive, entries = open_archive(path)
    for info, place in entries:
        yield archive, info, place, info.file_size


def _tar_members(path: Path):
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isreg():
                    yield path, member, PurePosixPath(member.name), member.size
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a usable tar archive ({error}); fetch it again") from error
