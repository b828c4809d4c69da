"""Locks between processes, which hold where the file system honours them."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

log = logging.getLogger("benchmarks.locks")
_NONE_HERE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[bool]:
    """A context that no other process enters with the same file; waits for `timeout` seconds, by default without end.

    On a file system without locks, as some clusters have it, the context is entered all the same: a file in the lock's
    place would remain where a process was killed, and block the work for good. Its value is False then, and otherwise
    True. Raises filelock.Timeout.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, timeout=timeout, fallback_to_soft=False)
    try:
        lock.acquire()
    except OSError as error:
        if error.errno not in _NONE_HERE:
            raise
        log.warning("%s: this file system has no locks; nothing must be executed twice at the same time", path.parent)
    try:
        yield lock.is_locked
    finally:
        lock.release()


def sweep(folder: Path, names: str) -> None:
    """Delete the temporary files and folders that killed processes left there: only for the holder of their lock."""
    for path in folder.glob(names):
        with contextlib.suppress(OSError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
