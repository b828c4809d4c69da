"""Fetching of a published file: from a mirror folder, from the cache, or over the network.

`SPINBENCH_MIRROR` is a folder, which is only read, or a URL; either replaces `https://raw.githubusercontent.com/`.
With a folder, nothing is downloaded.
`SPINBENCH_DATA` is the cache folder, by default in the user's cache directory.
A stored file with a wrong checksum is reported, never deleted or replaced.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import quote

import pooch

from benchmarks.data.images import DataError
from benchmarks.data.transfer import bounded
from foundation import cache_folder

ORIGIN = "https://raw.githubusercontent.com/"


def mirror_folder() -> Path | None:
    """The folder that replaces the network, or None. DataError if it does not exist."""
    mirror = os.environ.get("SPINBENCH_MIRROR") or ORIGIN
    if mirror.startswith(("https://", "http://")):
        return None
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise DataError(f"SPINBENCH_MIRROR={mirror}: expected an existing folder or a URL")
    return folder


def fetch(path: str, sha256: str, size: int = 0) -> Path:
    """The local copy of the file with this path (relative, with slashes) on the raw-file host and this SHA-256.

    `size` is its size in bytes, which bounds the download; 0 if it is unknown.
    DataError for a path that leaves its folder, a file that is unavailable and one with another checksum.
    """
    folder, file = mirror_folder(), local_file(path)
    if folder is None:
        return download(address(path), sha256, file, size)
    if not file.is_file():
        raise DataError(f"{path}: not in the mirror {folder}; put it there, or unset SPINBENCH_MIRROR to fetch it")
    return verified(file, sha256)


def local_file(path: str) -> Path:
    """Where the file of this path, or of this URL, lies in the mirror folder, or else in the cache folder."""
    return inside(mirror_folder() or cache_folder(), path.removeprefix("https://"))


def address(path: str) -> str:
    """The URL of a path on the raw-file host, or of its mirror; a URL itself."""
    if path.startswith("https://"):
        return path
    base = os.environ.get("SPINBENCH_MIRROR") or ORIGIN
    return f"{base.rstrip('/')}/{quote(path)}"


def download(url: str, known_hash: str | None, file: Path, size: int = 0, progress: bool = False) -> Path:
    """`file`, downloaded from `url` unless it exists; not verified without a hash. Raises DataError like `fetch`."""
    if file.exists():
        return verified(file, known_hash) if known_hash else file
    if mirror_folder() is not None:
        raise DataError(f"{file}: missing; put {url} there, or unset SPINBENCH_MIRROR to fetch it")
    pooch.get_logger().setLevel("WARNING")
    try:
        # downloads to a temporary name, checks, then renames
        pooch.retrieve(url, known_hash, fname=file.name, path=file.parent, downloader=bounded(size, progress))
    except OSError as error:  # includes the errors of `requests`
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"{url}: cannot be downloaded ({reason}); offline, set SPINBENCH_MIRROR to a folder") from None
    except ValueError as error:
        raise DataError(f"{url}: unexpected content, not kept: {error}") from None
    return file


def inside(folder: Path, path: str) -> Path:
    """folder / path. DataError for an untrusted path that is not relative or leaves the folder."""
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if not posix.parts or ".." in posix.parts or posix.is_absolute() or windows.anchor or "\\" in path or "\0" in path:
        raise DataError(f"{path!r}: expected a relative path that stays inside {folder}")
    return folder / posix


def verified(file: Path, known_hash: str) -> Path:
    """The file itself. DataError if its checksum differs from the known one (SHA-256, or `md5:...`)."""
    algorithm, _, digest = known_hash.rpartition(":")
    found = file_hash(file, algorithm or "sha256")
    if found != digest:
        raise DataError(
            f"{file}: damaged or another version: {algorithm or 'SHA-256'} is {found}, expected {digest}; "
            "delete or move it and run again"
        )
    return file


def file_hash(file: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file's content; computed once per process for an unchanged file."""
    status = file.stat()
    return _hash(file, algorithm, status.st_mtime_ns, status.st_size)


@cache
def _hash(file: Path, algorithm: str, mtime_ns: int, size: int) -> str:
    return str(pooch.file_hash(str(file), alg=algorithm))
