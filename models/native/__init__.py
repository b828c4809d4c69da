"""C++ kernels for what SPIN spends its time on with a CPU, compiled at first use and kept.

PyTorch's operators pass whole tensors of 40 channels through memory again and again; these do the arithmetic tile by
tile in the cache, forward and backward, and 3x3 convolutions with fewer products. They serve float32 tensors on a CPU
without autocast. Where there is no compiler, or SPINBENCH_NATIVE=0 is set, the network runs in PyTorch alone; results
differ in their last bits.
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

import pooch
import torch
from torch import Tensor

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


def compiler() -> str | None:
    """Name and version of the compiler of the kernels; None if there are none."""
    return _version(_command()).splitlines()[0] if library() else None


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


def _version(command: str) -> str:
    return subprocess.run([command, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout


def _compiled() -> Path:
    """The path of the library, compiled unless that was done before, by this compiler and for this CPU."""
    command = _command()
    sources = sorted(_HERE.glob("*.cpp"))
    texts = [source.read_text("utf-8") for source in [*sources, *sorted(_HERE.glob("*.h"))]]
    about = "\0".join([_version(command), *_FLAGS, _cpu(), *texts])
    folder = Path(pooch.os_cache("spin-bench")) / "kernels"
    path = folder / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.so"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            # Compiled for OpenMP but not linked to it: its functions are those that PyTorch brings, and so are the
            # threads. What cannot be found fails when it is loaded, not when it is called.
            objects = [f"{scratch}/{source.stem}.o" for source in sources]
            for source, output in zip(sources, objects, strict=True):
                _run([command, *_FLAGS, "-fopenmp", "-c", str(source), "-o", output])
            _run([command, "-shared", "-Wl,-z,now", *objects, "-o", f"{scratch}/library.so"])
            Path(scratch, "library.so").replace(path)  # at once, whoever else compiles
    return path


def _run(command: list[str]) -> None:
    subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S)


def _cpu() -> str:
    """What -march=native depends on: a home folder may be shared by different machines."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8", "replace").partition("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    return "\n".join([platform.machine(), *(line for line in lines if line.startswith(("model name", "flags")))])
