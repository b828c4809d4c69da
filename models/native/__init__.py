"""C++ kernels for what SPIN spends its time on with a CPU, compiled at first use and kept.

PyTorch's operators pass whole tensors of 40 channels through memory again and again; these do the same arithmetic tile
by tile in the cache. They serve float32 tensors on a CPU without autocast. Where there is no compiler, or
SPINBENCH_NATIVE=0 is set, the networks run in PyTorch alone; results differ in their last bits.
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
from functools import cache
from pathlib import Path

import pooch
import torch
from torch import Tensor

_SOURCES = sorted(Path(__file__).parent.glob("*.cpp"))
_FLAGS = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fPIC"]


def ready(*tensors: Tensor) -> bool:
    """Whether the kernels take these tensors."""
    if any(part.device.type != "cpu" or part.dtype != torch.float32 for part in tensors):
        return False
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    return library() is not None


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None, with a warning, where they cannot be had."""
    if os.environ.get("SPINBENCH_NATIVE") == "0":
        return None
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        warnings.warn("no C++ compiler: SPIN runs without its kernels for a CPU, half as fast", stacklevel=2)
        return None
    try:
        return ctypes.CDLL(str(_compiled(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        output = getattr(error, "stderr", None) or str(error)
        warnings.warn(f"kernels for a CPU cannot be used, SPIN runs without them: {output[:500]}", stacklevel=2)
        return None


def _compiled(compiler: str) -> Path:
    """The path of the library, compiled unless that was done before by this compiler for this CPU."""
    sources = [*_SOURCES, *sorted(Path(__file__).parent.glob("*.h"))]
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    about = [version, *_FLAGS, _cpu(), *(source.read_text("utf-8") for source in sources)]
    name = f"{hashlib.sha256(chr(0).join(about).encode()).hexdigest()[:32]}.so"
    folder = Path(pooch.os_cache("spin-bench")) / "kernels"
    if not (folder / name).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            # Compiled for OpenMP but not linked to it: its functions are those of PyTorch, and so are the threads.
            objects = [f"{scratch}/{source.stem}.o" for source in _SOURCES]
            jobs = [
                subprocess.Popen(
                    [compiler, *_FLAGS, "-fopenmp", "-c", str(source), "-o", output], stderr=subprocess.PIPE
                )
                for source, output in zip(_SOURCES, objects, strict=True)
            ]
            for job in jobs:
                _, errors = job.communicate(timeout=300)
                if job.returncode:
                    raise subprocess.CalledProcessError(job.returncode, compiler, stderr=errors.decode())
            link = [compiler, "-shared", "-Wl,-z,now", *objects, "-o", f"{scratch}/{name}"]
            subprocess.run(link, check=True, capture_output=True, text=True, timeout=300)
            Path(scratch, name).replace(folder / name)
    return folder / name


def _cpu() -> str:
    """What -march=native depends on; a home folder may be shared by different machines."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(errors="replace").splitlines() if cpuinfo.is_file() else []
    return "\n".join([platform.machine(), *(line for line in lines[:40] if line.startswith(("model name", "flags")))])
