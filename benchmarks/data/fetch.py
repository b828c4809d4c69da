"""Fetching of a published file: from a mirror folder, from the cache, or over the network.

`SPINBENCH_MIRROR` is a folder, which is only read, or a URL; either replaces `https://raw.githubusercontent.com/`.
With a folder, nothing is downloaded.
`SPINBENCH_DATA` is the cache folder, by default in the user's cache directory.
A stored file with a wrong checksum is reported, never deleted or replaced. A download that fails is tried three times,
and no message holds the password of a URL.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from urllib.parse import quote

import pooch

from benchmarks.data.images import DataError
from benchmarks.data.transfer import bounded
from foundation import cache_folder
from foundation.locks import locked, sweep

log = logging.getLogger(__name__)
ORIGIN = "https://raw.githubusercontent.com/"
_PAUSES_S = (1.0, 4.0)  # before the second and the third try, unless the server asks for others
_LONGEST_S = 120.0  # a server that asks for more is not waited for
_PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers that another try may change
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)  # a cache that others keep
_TEMPORARY = f"tmp{'[a-z0-9_]' * 8}"  # of pooch


class Unavailable(DataError):
    """A file that cannot be had at present: it is in no mirror, or no server sends it."""


def mirror_folder() -> Path | None:
    """The folder that replaces the network, or None. DataError if it does not exist."""
    mirror = os.environ.get("SPINBENCH_MIRROR") or ORIGIN
    if mirror.startswith(("https://", "http://")):
        return None
    folder = Path(mirror).expanduser()
    if not folder.is_dir():
        raise DataError(f"SPINBENCH_MIRROR={without_password(mirror)}: expected an existing folder or a URL")
    return folder


def fetch(path: str, sha256: str, size: int = 0) -> Path:
    """The local copy of the file with this path (relative, with slashes) on the raw-file host and this SHA-256.

    `size` is its size in bytes, which bounds the download; 0 if it is unknown.
    DataError for a path that leaves its folder and a file with another checksum, Unavailable for one that is not to be
    had.
    """
    folder, file = mirror_folder(), local_file(path)
    if folder is None:
        return download(address(path), sha256, file, size)
    if not file.is_file():
        raise Unavailable(f"{path}: not in the mirror {folder}; put it there, or unset SPINBENCH_MIRROR to fetch it")
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
        raise Unavailable(f"{file}: missing; put {url} there, or unset SPINBENCH_MIRROR to fetch it")
    try:
        with locked(file.parent / ".lock") as alone:
            if file.exists():  # another process has fetched it meanwhile
                return download(url, known_hash, file, size)
            if alone:
                sweep(file.parent, _TEMPORARY)
            _retrieve(url, known_hash, file, size, progress)
    except OSError as error:
        kind = Unavailable if error.errno in _READ_ONLY else DataError
        raise kind(f"{file}: cannot be stored ({error.strerror or error})") from None
    return file


def _retrieve(url: str, known_hash: str | None, file: Path, size: int, progress: bool) -> None:
    """Download to a temporary name, check, then rename. Three tries, unless the answer would stay the same."""
    import requests

    pooch.get_logger().setLevel("WARNING")
    shown = without_password(url)
    for pause in (*_PAUSES_S, None):
        try:
            pooch.retrieve(url, known_hash, fname=file.name, path=file.parent, downloader=bounded(size, progress))
            return
        except requests.RequestException as error:
            reason = without_password(_reason(error))
            wait = _wait(error, pause)
            if wait is None:
                raise Unavailable(
                    f"{shown}: cannot be downloaded ({reason}); offline, set SPINBENCH_MIRROR to a folder"
                ) from None
            log.warning("%s: %s; tried again in %.0f s", shown, reason, wait)
            time.sleep(wait)
        except ValueError as error:
            raise Unavailable(f"{shown}: unexpected content, not kept: {without_password(str(error))}") from None
        except DataError as error:
            raise Unavailable(without_password(str(error))) from None


def _reason(error: Exception) -> str:
    """The first line of an error; of a connection that fails what the system says, such as `Connection refused`."""
    told = next(iter(str(error).splitlines()), type(error).__name__)
    system = re.search(r"\[Errno -?\d+\] ([^'\")]+)", told)
    return system[1] if system else told


def _wait(error: Exception, pause: float | None) -> float | None:
    """The seconds before another try; None if there is to be none."""
    answer = getattr(error, "response", None)
    if pause is None or (answer is not None and answer.status_code not in _PASSING):
        return None
    asked = None if answer is None else _seconds(answer.headers.get("Retry-After", ""))
    return pause if asked is None else asked if asked <= _LONGEST_S else None


def _seconds(retry_after: str) -> float | None:
    """What a server's Retry-After asks for, a number of seconds or a date; None for anything else."""
    if re.fullmatch(r"\d{1,9}", retry_after.strip()):
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
    except (ValueError, OverflowError):
        return None
    return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def without_password(text: str) -> str:
    """A text in which no URL names a user and a password."""
    return re.sub(r"(\w://)[^/\s]*@", r"\1", text)


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
