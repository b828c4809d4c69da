"""The leaf below all packages: the error a user can mend, nearest names, the cache folder, and files written whole."""

from __future__ import annotations

import difflib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

_SEAL = 32  # bytes of a SHA-256


class SpinbenchError(Exception):
    """Something that a user can mend. The message is one line that names the file, the value and what was expected."""


def one_line(error: Exception) -> str:
    """What an error says, on one line; of an OSError the file and the reason."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def nearest(wrong: str, known: Iterable[str]) -> str:
    """The end of an error message: the known name closest to a wrong one, and all of them."""
    names = list(known)
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    return (f"did you mean {close[0]!r}? " if close else "") + f"known: {', '.join(names)}"


def cache_folder() -> Path:
    """Where downloads, decoded images and compiled kernels are kept: SPINBENCH_DATA, or the user's cache directory."""
    import pooch

    return Path(os.environ.get("SPINBENCH_DATA") or pooch.os_cache("spin-bench"))


def write(path: Path, content: str | bytes) -> None:
    """Replace a file as a whole: after a crash it holds the old content or the new one, never a part.

    Raises OSError, which names the file; what was there before is then still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.umask(mask := os.umask(0))
        Path(temporary).chmod(0o666 & ~mask)  # as any new file; mkstemp's are private
        Path(temporary).replace(path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def sealed(content: bytes) -> bytes:
    """A cached file's content with its own SHA-256 behind it. NumPy and the dynamic linker ignore what follows."""
    return content + hashlib.sha256(content).digest()


def is_sealed(path: Path) -> bool:
    """Whether a file is whole: it ends with the SHA-256 of what goes before. Raises OSError."""
    size = path.stat().st_size - _SEAL
    if size < 0:
        return False
    total = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (part := file.read(min(size, 2**20))):
            total.update(part)
            size -= len(part)
        return file.read() == total.digest()
