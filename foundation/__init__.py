"""Functions shared by all packages: errors, names, the cache folder, atomic writing."""

from __future__ import annotations

import difflib
import errno
import hashlib
import os
import re
import stat
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path

_IN_A_FILE = re.compile(r"(?P<path>.+\.py):(?P<cls>[A-Za-z_]\w*)")
_SEPARATORS = re.compile(r"[\s_-]+")
ALSO_CALLED = {"full": "spin"}
_INVISIBLE = ("Cc", "Cf", "Cs")  # control and format characters, surrogates
_SEAL = 32  # bytes of a SHA-256


class SpinbenchError(Exception):
    """An error that a user can correct. The message is one line with the file, the value and what was expected."""


def one_line(error: Exception) -> str:
    """The message of an error on one line; for an OSError, the file and the reason."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}".replace("\n", "\\n")
    return " ".join(str(error).split()) or type(error).__name__


def printable(text: str) -> str:
    """A text whose characters are all visible: others, such as a terminal's escapes, are written out.

    So are characters that turn the direction of a text, and bytes that are not UTF-8. Line ends and tabs stay.
    """
    return "".join(
        one if one in "\n\t" or unicodedata.category(one) not in _INVISIBLE else one.encode("unicode_escape").decode()
        for one in text
    )


def spelled(name: str) -> str:
    """A name without regard to its spelling: `SwinIR-light`, `swinir light` and `SWINIR_LIGHT` are `swinir_light`."""
    return _SEPARATORS.sub("_", name.strip()).lower()


def meant(name: str, known: Iterable[str]) -> str | None:
    """The known name that a user means: the same, or else the only one that differs in spelling alone."""
    names = list(known)
    alike = [name] if name in names else [one for one in names if spelled(one) == spelled(name)]
    return alike[0] if len(alike) == 1 else None


def registered(network: str) -> str:
    """The name of a network in the registry's spelling, whether it is known or not; a class in a file stays as it is.

    SPIN is also called `full`, as the variants of the suite's experiments that are SPIN itself.
    """
    if network_in_file(network):
        return network
    name = spelled(network)
    return ALSO_CALLED.get(name, name)


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The end of an error message: the known name nearest to an unknown one, and all known names."""
    names = list(known)
    spellings = {spelled(one): one for one in reversed(names)}
    close = difflib.get_close_matches(spelled(wrong), spellings, n=1, cutoff=0.6)
    return (f"did you mean {spellings[close[0]]!r}? " if close else "") + f"known: {', '.join(names) or 'none'}"


def network_in_file(name: str) -> tuple[Path, str] | None:
    """File and class of a network that is named as `path/net.py:Net`; None for a name of the registry."""
    found = _IN_A_FILE.fullmatch(name)
    return (Path(found["path"]), found["cls"]) if found else None


def cache_folder() -> Path:
    """The folder for downloads, decoded images and compiled kernels: SPINBENCH_DATA, or the user's cache directory.

    Where there is no home that a cache directory could lie in, as in many containers, a private folder among the
    temporary files takes its place. Raises SpinbenchError for a `~` in SPINBENCH_DATA without a home, and
    PermissionError if the private folder belongs to somebody else.
    """
    given = os.environ.get("SPINBENCH_DATA")
    try:
        return Path(given).expanduser() if given else _users_cache()
    except RuntimeError:
        raise SpinbenchError(f"SPINBENCH_DATA={given}: there is no home directory, expected a whole path") from None


def own_folder(part: str) -> Path:
    """The folder for a part of what this machine can make again: in the cache folder, or elsewhere if this
    user cannot write there. Raises what `cache_folder` raises.
    """
    for folder in (cache_folder() / part, _users_cache() / part):
        if _can_be_written(folder):
            return folder
    return _temporary_folder() / part


def _users_cache() -> Path:
    import pooch

    try:
        folder = Path(pooch.os_cache("spin-bench")).expanduser()
    except RuntimeError:  # no HOME, and a user whom the system does not know
        return _temporary_folder()
    return folder if _exists(folder) or _can_be_written(folder) else _temporary_folder()


def _temporary_folder() -> Path:
    """A folder that only this user can write to: kernels are loaded from it."""
    user = os.geteuid() if hasattr(os, "geteuid") else "own"
    folder = Path(tempfile.gettempdir()) / f"spin-bench-{user}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "geteuid") and status.st_uid != user):
        raise PermissionError(errno.EPERM, "belongs to somebody else; set SPINBENCH_DATA to a folder", str(folder))
    return folder


def _can_be_written(folder: Path) -> bool:
    """Whether this user can write to a folder, or create it."""
    return os.access(next(each for each in (folder, *folder.absolute().parents) if _exists(each)), os.W_OK)


def _exists(path: Path) -> bool:
    return os.access(path, os.F_OK)  # unlike Path.exists, also False below a folder that this user may not enter


def check_writable(path: Path) -> None:
    """Raise the OSError, with the file's name, of a `write` of this file that would fail. Nothing is left behind."""
    _check_file(path)
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file, expected a folder", str(folder))
    try:
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{path.name}.")
    except OSError as error:
        raise OSError(error.errno, f"cannot be written: {error.strerror}", str(path)) from error
    os.close(handle)
    Path(temporary).unlink()


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, expected a file", str(path))
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "is a device, a pipe or a socket, expected a file", str(path))


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically: after a crash it holds either the old content or the new one, never a part.

    Raises OSError, which names the file; the old content is then unchanged. What is no file, such as a device or a
    pipe, is never replaced by one.
    """
    _check_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.umask(mask := os.umask(0))
        Path(temporary).chmod(0o666 & ~mask)  # the usual permissions; mkstemp creates private files
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def sealed(content: bytes) -> bytes:
    """The content of a cached file followed by its SHA-256. NumPy and the dynamic linker ignore the trailing bytes."""
    return content + hashlib.sha256(content).digest()


def is_sealed(path: Path) -> bool:
    """Whether a file is complete, that is, ends with the SHA-256 of the bytes before it. Raises OSError."""
    size = path.stat().st_size - _SEAL
    if size < 0:
        return False
    total = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(size, 2**20))):
            total.update(part)
            size -= len(part)
        return file.read() == total.digest()
