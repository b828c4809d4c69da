"""The C++ compilers that the kernels may be compiled by, and how one is run."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass
from functools import cache

from foundation import one_line
from foundation.signals import STOP

_COMPILE_S, _ASK_S = 300, 20


@dataclass(frozen=True)
class Compiler:
    """A command such as `c++` or `ccache g++`, its version's text, and why it cannot be used, if it cannot."""

    command: tuple[str, ...]
    version: str
    refused: str | None = None

    @property
    def name(self) -> str:
        return shlex.join(self.command)

    @property
    def program(self) -> tuple[str, ...]:
        """The command, with the file that links such as c++ lead to."""
        return (os.path.realpath(self.command[0]), *self.command[1:])

    @property
    def about(self) -> str:
        """Name and version in one line, for records."""
        return self.version.splitlines()[0]

    def check(self) -> None:
        """Raise OSError if the compiler cannot be used."""
        if self.refused:
            raise OSError(self.refused)

    def run(self, arguments: list[str]) -> None:
        """Compile or link. Raises SubprocessError."""
        _run([*self.command, *arguments], _COMPILE_S)


def candidates() -> list[Compiler]:
    """The compilers to try in turn: that of CXX, by default `c++`, and `g++` unless it is the same."""
    first, other = _found(os.environ.get("CXX") or "c++"), _found("g++")
    return [first] if first.program == other.program else [first, other]


def _found(name: str) -> Compiler:
    try:
        words = [name] if shutil.which(name) else shlex.split(name)  # a path with spaces, or a launcher before it
    except ValueError as error:
        return Compiler((name,), "none", f"no command: {error}")
    first = shutil.which(words[0]) if words else None
    if first is None:
        return Compiler((name,), "none", "no C++ compiler of this name")
    return _asked((first, *words[1:]))


@cache
def _asked(command: tuple[str, ...]) -> Compiler:
    """A compiler with its version. One that says none is tried all the same; one that fails to say it is not."""
    try:
        said = _run([*command, "--version"], _ASK_S).strip()
    except (OSError, subprocess.SubprocessError) as error:
        return Compiler(command, "none", one_line(error))
    refused = None
    if "clang" in said and not _openmp_of_clang():
        refused = "clang calls another OpenMP than this PyTorch brings"
    return Compiler(command, said or f"unknown ({shlex.join(command)})", refused)


def _openmp_of_clang() -> bool:
    """Whether this process has the functions that clang calls for OpenMP; gcc's are in both libraries."""
    try:
        return hasattr(ctypes.CDLL(None), "__kmpc_fork_call")
    except (OSError, TypeError):  # Windows has no library of the process
        return False


def _run(command: list[str], seconds: float) -> str:
    """What a command writes. Raises OSError and, in one line, SubprocessError if it fails or takes longer.

    All that it has started has ended then. Raises KeyboardInterrupt if a signal to end reached the command: a training
    that has only noted the signal would go on without kernels, in other bits.

    In a session of its own: Ctrl-C in the terminal must not end the compiler of a training that notes the signal, and
    would then go on without kernels.
    """
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException as error:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            if isinstance(error, subprocess.TimeoutExpired):
                raise subprocess.SubprocessError(f"no answer within {seconds:g} s") from None
            raise
    if -process.returncode in STOP or process.returncode - 128 in STOP:  # the latter from a shell around the compiler
        raise KeyboardInterrupt("the compilation of the kernels was interrupted; the same command goes on")
    if process.returncode:
        lines = err.splitlines()
        said = next((line for line in lines if "error" in line), lines[0] if lines else "")
        raise subprocess.SubprocessError(" ".join(said.split())[:300] or f"fails with code {process.returncode}")
    return out
