"""Unpacking of downloaded zip archives."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path

from benchmarks.data.fetch import download, inside
from benchmarks.data.images import DataError
from foundation import cache_folder
from foundation.locks import locked, sweep

LIMIT = 16 << 30  # bytes; the largest archive in use unpacks to 3.5 GB


def archive_file(url: str) -> Path:
    """The path of an archive, where it is downloaded to or can be placed by hand."""
    return cache_folder() / "archives" / url.rpartition("/")[2]


def unpacked(url: str, known_hash: str, size: int = 0) -> Path:
    """The folder with the members of a zip archive, which is downloaded, verified and unpacked if necessary.

    The folder gets its name only when it is complete, and is not verified again: damage is detected by the checksums
    inside its PNG files when they are read, but a replaced image is not. DataError for an archive that is unavailable
    or has another checksum, and for members that are links, leave the folder or exceed `LIMIT` in total.
    """
    archive = archive_file(url)
    folder = archive.with_suffix("")
    if folder.is_dir():
        return folder
    archive.parent.mkdir(parents=True, exist_ok=True)
    unpacking = f"unpacking-{folder.name}-"
    with locked(folder.with_suffix(".lock")) as alone:
        if alone:
            sweep(archive.parent, unpacking + "[a-z0-9_]" * 8)  # as tempfile ends its names
        if not folder.is_dir():
            download(url, known_hash, archive, size, progress=True)
            with tempfile.TemporaryDirectory(dir=archive.parent, prefix=unpacking) as temporary:
                content = Path(temporary) / "content"
                _unpack(archive, content)
                content.rename(folder)
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as members:
            files = [member for member in members.infolist() if not member.is_dir()]
            size = sum(member.file_size for member in files)  # zipfile never writes more than the declared size
            if size > LIMIT:
                raise DataError(f"{archive}: unpacks to {size} bytes, expected at most {LIMIT}")
            for member in files:
                if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                    raise DataError(f"{archive}: member {member.filename!r} is a link or a device, expected a file")
                try:
                    target = inside(folder, member.filename)
                except DataError as error:
                    raise DataError(f"{archive}: member {error}") from None
                target.parent.mkdir(parents=True, exist_ok=True)
                with members.open(member) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{archive}: cannot be unpacked: {error}") from None
