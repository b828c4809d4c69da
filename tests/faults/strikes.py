"""What befalls a command on its way: it is killed, the disk is full, its folder vanishes, the clock goes back."""

from __future__ import annotations

import datetime
import errno
import functools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

STEP, FLUSH, OTHER = b".", b"f", b"o"  # marks that a command leaves of its steps and its changes to the disk
_CHANGES = ("fsync", "replace", "rename", "unlink", "mkdir")
_OWN = ("benchmarks", "foundation", "results", "spinbench")


@dataclass(frozen=True)
class Strike:
    """What befalls a command at the `at`-th change (from 1) that it makes to the disk below its folder.

    A change is a file that is flushed, renamed or removed, or a new folder; with `name`, of what has that name.
    `kill` is SIGKILL, `full` ENOSPC from then on, `bug` an exception that nobody expects; `vanish` removes the folder
    in which the change was made, `back` sets the clock back by an hour. In the middle of a file that is flushed, half
    of it is on the disk.
    """

    what: Literal["kill", "full", "bug", "vanish", "back"]
    at: int
    phase: Literal["before", "middle", "after"] = "before"
    name: str = ""


def install(strike: Strike, folder: Path, marks: Path) -> None:
    """Have the strike happen in this process, and leave a mark of every change."""
    descriptor = os.open(marks, os.O_WRONLY | os.O_APPEND)
    count = 0

    def changing(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        @functools.wraps(real)
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            path = _changed(name, arguments)
            no_change = (name == "mkdir" and path.is_dir()) or (name == "unlink" and not path.exists())
            if no_change or not path.is_relative_to(folder) or strike.name not in ("", path.name):
                return real(*arguments, **options)
            count += 1
            os.write(descriptor, FLUSH if name == "fsync" else OTHER)
            now = count == strike.at or (count > strike.at and strike.what == "full")
            if now and strike.phase == "middle" and name == "fsync":
                os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)
            if now and strike.phase != "after":
                _happen(strike, path)
            result = real(*arguments, **options)
            if now and strike.phase == "after":
                _happen(strike, path)
            return result

        return change

    for name in ["fsync"] if strike.what == "full" else _CHANGES:  # a full disk refuses contents, nothing else
        setattr(os, name, changing(name))


def _changed(name: str, arguments: Sequence[Any]) -> Path:
    """The path that a call changes: of a renamed file the new one."""
    if name == "fsync":
        return Path(f"/proc/self/fd/{arguments[0]}").readlink()
    return Path(os.path.abspath(os.fsdecode(arguments[1 if name in ("replace", "rename") else 0])))  # noqa: PTH100


def _happen(strike: Strike, path: Path) -> None:
    if strike.what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif strike.what == "full":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # names no file, as the kernel does not
    elif strike.what == "bug":
        raise RuntimeError("struck by the campaign")
    elif strike.what == "vanish":
        shutil.rmtree(path.parent)
    else:
        _set_clock_back(3600)


def _set_clock_back(seconds: float) -> None:
    """time.time, and datetime.now in the modules that are loaded."""
    real_time, real_datetime = time.time, datetime.datetime

    class Back(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return real_datetime.now(tz) - datetime.timedelta(seconds=seconds)

    time.time = lambda: real_time() - seconds
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").partition(".")[0] in _OWN:
            for name, value in list(vars(module).items()):
                if value is real_datetime:
                    setattr(module, name, Back)
