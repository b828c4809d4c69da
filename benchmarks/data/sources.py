"""Sources of files: each states whether it is available, locates the file and identifies its content."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.archives import archive_file, unpacked
from benchmarks.data.fetch import address, download, fetch, file_hash, inside, local_file, mirror_folder, verified
from benchmarks.data.images import DataError, is_turned, read_image
from benchmarks.data.registry import Entry
from foundation import cache_folder, write


class Source(Protocol):
    @property
    def content(self) -> str:
        """An identifier that determines the bytes of the file; for registered files it needs no download."""

    def available(self) -> bool:
        """Whether the file is stored or, online, can be downloaded."""

    def locate(self) -> Path:
        """The local file, fetched and verified if necessary. DataError if that fails."""


@dataclass(frozen=True)
class Published:
    """A file on the public raw-file host."""

    path: str
    content: str  # SHA-256
    size: int = 0  # bytes, if they are known

    def available(self) -> bool:
        folder = mirror_folder()
        return folder is None or inside(folder, self.path).is_file()

    def locate(self) -> Path:
        return fetch(self.path, self.content, self.size)


@dataclass(frozen=True)
class Unverified:
    """A published file that was never at hand here, so that its SHA-256 is unknown.

    It is fetched only on request. Its SHA-256 is then recorded in the cache folder, and the file verified by it.
    """

    path: str  # on the raw-file host, or a URL

    @property
    def _record(self) -> Path:
        return inside(cache_folder() / "unverified", f"{self.path.removeprefix('https://')}.sha256")

    @property
    def content(self) -> str:
        if not self._record.is_file():
            raise DataError(f"{self.path}: never verified here and not fetched yet")
        return self._record.read_text(encoding="utf-8").strip()

    def available(self) -> bool:
        return self._record.is_file() and local_file(self.path).is_file()

    def fetch(self) -> Path:
        """The local file; its SHA-256 is recorded. DataError if it cannot be had or is not what was recorded before."""
        file = download(address(self.path), None, local_file(self.path))
        if not self._record.is_file():
            write(self._record, f"{file_hash(file)}\n")
        return self.locate()

    def locate(self) -> Path:
        return verified(local_file(self.path), self.content)


@dataclass(frozen=True)
class Packaged:
    """A file that ships inside an installed package."""

    path: str  # starts with the name of the package
    content: str  # SHA-256

    def _file(self) -> Path:
        package, _, path = self.path.partition("/")
        return Path(str(resources.files(package))) / path

    def available(self) -> bool:
        return self._file().is_file()

    def locate(self) -> Path:
        if not self.available():
            raise DataError(
                f"{self._file()}: not in this version of the package; install the version in constraints.txt"
            )
        return verified(self._file(), self.content)


@dataclass(frozen=True)
class Member:
    """A file of a zip archive. The archive's checksum is verified before unpacking; later, only PNG has checksums."""

    archive: Entry
    path: str

    @property
    def content(self) -> str:
        return f"{self.archive.hash}/{self.path}"

    def available(self) -> bool:
        file = archive_file(self.archive.path)
        if file.with_suffix("").is_dir():
            return (file.with_suffix("") / self.path).is_file()
        return mirror_folder() is None or file.is_file()

    def locate(self) -> Path:
        return unpacked(self.archive.path, self.archive.hash, self.archive.bytes) / self.path


@dataclass(frozen=True)
class Local:
    """A file of the user."""

    path: Path

    @property
    def content(self) -> str:
        try:
            return file_hash(self.path)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be read: {error.strerror}") from None

    def available(self) -> bool:
        return self.path.is_file()

    def locate(self) -> Path:
        return self.path


@dataclass(frozen=True)
class LocalImage(Local):
    """An image of the user. One that is turned when read differs from the same file as an older version read it."""

    @property
    def content(self) -> str:
        return super().content + (" upright" if is_turned(self.path) else "")


def read(source: Source) -> NDArray[np.uint8]:
    """The image of a source as `read_image` gives it. DataError if it is unavailable, damaged or not an image."""
    file = source.locate()
    try:
        return read_image(file)
    except DataError as error:
        if isinstance(source, Member):
            folder = archive_file(source.archive.path).with_suffix("")
            raise DataError(f"{error}; delete {folder} and run again to unpack its archive anew") from None
        raise
