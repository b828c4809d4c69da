"""Small and read-only file systems, which only root may mount."""

from __future__ import annotations

import ctypes
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_NAMESPACE = 0x00020000
_READ_ONLY, _REMOUNT, _BIND, _EVERYTHING_PRIVATE, _DETACH = 1, 32, 4096, 0x4000 | 0x40000, 2


def private() -> bool:
    """Give this process mounts of its own, which end with it. False where that is not allowed."""
    allowed = hasattr(_LIBC, "unshare") and _LIBC.unshare(_NEW_NAMESPACE) == 0
    return allowed and _mount("none", Path("/"), flags=_EVERYTHING_PRIVATE)


def memory(folder: Path, size: int, again: bool = False) -> bool:
    """Mount memory of so many bytes, or change the size of what was mounted."""
    return _mount("none", folder, "tmpfs", _REMOUNT if again else 0, f"size={size}")


def read_only(folder: Path) -> bool:
    """Let nothing be written below a folder."""
    bound = _mount(str(folder), folder, flags=_BIND)
    return bound and _mount("none", folder, flags=_BIND | _REMOUNT | _READ_ONLY)


def remove(folder: Path) -> None:
    _LIBC.umount2(str(folder).encode(), _DETACH)


def _mount(source: str, target: Path, kind: str = "", flags: int = 0, options: str = "") -> bool:
    texts = (source.encode(), str(target).encode(), kind.encode() or None)
    return bool(_LIBC.mount(*texts, ctypes.c_ulong(flags), options.encode() or None) == 0)
