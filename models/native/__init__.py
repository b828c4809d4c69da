"""C++ kernels for what SPIN spends its time on with a CPU, compiled at first use and kept.

PyTorch's operators pass whole tensors of 40 channels through memory again and again; these do the arithmetic tile by
tile in the cache, forward and backward, and 3x3 convolutions with fewer products. They serve float32 tensors on a CPU
without autocast. Where there is no compiler, or SPINBENCH_NATIVE=0 is set, the network runs in PyTorch alone; results
differ in their last bits. The library is kept in a private folder of the cache, and checked before it is loaded.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from foundation import cache_folder, is_sealed, sealed

_HERE = Path(__file__).parent
_FLAGS = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fPIC"]
_TIMEOUT_S = 300
_off = ContextVar("off", default=False)


def ready(*tensors: Tensor) -> bool:
    """Whether there are kernels, and for tensors such as these."""
    if any(part.device.type != "cpu" or part.dtype != torch.float32 for part in tensors):
        return False
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    return not _off.get() and library() is not None


@contextmanager
def off() -> Iterator[None]:
    """A context in which PyTorch does all, as on a machine without a compiler."""
    before = _off.set(True)
    try:
        yield
    finally:
        _off.reset(before)


def used() -> str | None:
    """The compiler of the kernels that this process computes with, "none" where it must do without them.

    None as long as nothing has asked for them: on a GPU, or in a network that has none.
    """
    if not library.cache_info().currsize:
        return None
    return compiler() if library() else "none"


def compiler() -> str:
    """Name and version of the compiler that the kernels would have here, or "none". Nothing is compiled."""
    if os.environ.get("SPINBENCH_NATIVE") == "0":
        return "none"
    try:
        return _version(_command()).splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "none"


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they are switched off and, with a warning, where they cannot be had."""
    if os.environ.get("SPINBENCH_NATIVE") == "0":
        return None
    try:
        return ctypes.CDLL(str(_compiled()))
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()[:1000]
        warnings.warn(f"SPIN runs without its kernels for a CPU, more slowly: {reason}", stacklevel=2)
        return None


def _command() -> str:
    name = os.environ.get("CXX", "c++")
    if (found := shutil.which(name)) is None:
        raise FileNotFoundError(f"no C++ compiler {name!r}")
    return found


@cache
def _version(command: str) -> str:
    return subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout


def _compiled() -> Path:
    """The path of the library, compiled unless that was done before, by this compiler and for this CPU.

    It is sealed, since to load one that is cut ends the process, and lies where nobody else can write, since to load
    it executes it. Raises OSError and SubprocessError.
    """
    command = _command()
    sources = sorted(_HERE.glob("*.cpp"))
    texts = [source.read_text("utf-8") for source in [*sources, *sorted(_HERE.glob("*.h"))]]
    about = "\0".join([_version(command), *_FLAGS, _cpu(), *texts])
    folder = cache_folder() / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _own(folder) / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.so"
    if path.exists():
        if is_sealed(_own(path)):
            return path
        warnings.warn(f"{path}: damaged, so the kernels are compiled again", stacklevel=3)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # Compiled for OpenMP but not linked to it: its functions are those that PyTorch brings, and so are the
        # threads. What cannot be found fails when it is loaded, not when it is called.
        objects = [f"{scratch}/{source.stem}.o" for source in sources]
        for source, output in zip(sources, objects, strict=True):
            _run([command, *_FLAGS, "-fopenmp", "-c", str(source), "-o", output])
        made = Path(scratch, "library.so")
        _run([command, "-shared", "-Wl,-z,now", *objects, "-o", str(made)])
        made.write_bytes(sealed(made.read_bytes()))
        made.chmod(0o600)
        made.replace(path)  # at once, whoever else compiles; a process that has loaded the old file keeps it
    return path


def _own(path: Path) -> Path:
    """The path, if it is this user's and nobody else can write there. Raises PermissionError."""
    status = path.stat()
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user; remove it, or set SPINBENCH_DATA to a folder of yours")
    if status.st_mode & 0o022:
        raise PermissionError(f"{path} can be written by other users; remove it, or chmod go-w")
    return path


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S)


def _cpu() -> str:
    """What -march=native depends on: a home folder may be shared by different machines."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8", "replace").partition("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    return "\n".join([platform.machine(), *(line for line in lines if line.startswith(("model name", "flags")))])
