"""Where a computation runs: the device by its name on the command line, and what results say of it."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

import torch


def device(name: str) -> torch.device:
    """Return the device for "auto" (the GPU where there is one), "cpu" or "cuda".

    On a GPU float32 means float32 from then on: PyTorch's default of TF32 in convolutions is switched off.
    On a CPU the process keeps the memory that it frees (`keep_freed_memory`).
    Raises ValueError for another name, and for "cuda" where PyTorch sees no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}, expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise ValueError(f"device 'cuda' asked for, but PyTorch {torch.__version__} ({build}) sees no GPU")
    if name == "cpu" or not available:
        keep_freed_memory()
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


def keep_freed_memory(of_any_size: bool = False) -> None:
    """Let this process use freed memory again instead of giving it back, up to 32 MiB a block; with glibc only.

    `of_any_size` has no such bound, and keeps 2 GiB where more lies free at the end of the heap: where sizes vary, much
    more memory is taken than is in use.

    Every pass over an image frees and takes the same blocks. Fresh pages have to be cleared, and on a virtual machine
    each may cost as much as the arithmetic on it: a training step of SPIN took 1.3 times as long.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        trim_threshold, top_pad, mmap_threshold, mmap_most = -1, -2, -3, -4
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**25)  # glibc takes no larger one
        if of_any_size:
            mallopt(mmap_most, 0)
            mallopt(top_pad, 2**31 - 1)


def device_facts(where: torch.device) -> dict[str, str | int]:
    """Return what a result says of its device: its kind, its name and the CPU threads PyTorch uses."""
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else _cpu_name()
    return {"kind": where.type, "name": name, "threads": torch.get_num_threads()}


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux, where platform.processor() knows the architecture at best
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown CPU"
