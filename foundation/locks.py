"""Locks between processes, which hold where the file system honours them."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

log = logging.getLogger("benchmarks.locks")
_NONE_HERE = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def locked(path: Path, timeout: float = -1) -> Iterator[None]:
    """A context that no other process enters with the same file; waits for `timeout` seconds, by default without end.

    On a file system without locks, as some clusters have it, the context is entered all the same: a file in the lock's
    place would remain where a process was killed, and block the work for good. Raises filelock.Timeout.
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
        yield
    finally:
        lock.release()
