"""The device of a computation: its choice by name, and its description in results."""

from __future__ import annotations

import ctypes
import logging
import platform
import re
import subprocess
import sys
from pathlib import Path

import torch

log = logging.getLogger(__name__)


def device(name: str) -> torch.device:
    """Return the device for "auto" (a GPU if available), "cpu", "cuda", "cuda:1" or a GPU's UUID ("GPU-...").

    On a GPU this disables TF32, PyTorch's default in convolutions, so that float32 is exact. On a CPU the process keeps
    freed memory (`keep_freed_memory`). "auto" warns where the machine has a GPU that PyTorch cannot use.
    Raises ValueError for another name, and for a GPU that PyTorch does not see.
    """
    index = re.fullmatch(r"cuda(?::(\d+))?", name)
    if name not in ("auto", "cpu") and not index and not name.startswith("GPU-"):
        raise ValueError(f"unknown device {name!r}, expected auto, cpu, cuda, cuda:NUMBER or a GPU's UUID")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    if name == "cpu" or (name == "auto" and not count):
        if name == "auto" and (card := _card_of_the_driver()):
            log.warning(
                "%s is present, but PyTorch %s (%s) cannot use it: the CPU is used", card, torch.__version__, build
            )
        keep_freed_memory()
        return torch.device("cpu")
    if not count:
        raise ValueError(f"device {name!r} requested, but PyTorch {torch.__version__} ({build}) sees no GPU")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    if name.startswith("GPU-"):
        uuids = [f"GPU-{torch.cuda.get_device_properties(number).uuid}" for number in range(count)]
        if name not in uuids:
            raise ValueError(f"device {name!r} requested, but PyTorch sees {', '.join(uuids)}")
        return torch.device("cuda", uuids.index(name))
    number = int(index[1]) if index and index[1] else None
    if number is not None and number >= count:
        raise ValueError(f"device {name!r} requested, but PyTorch sees {count} GPUs, from cuda:0 on")
    return torch.device("cuda") if number is None else torch.device("cuda", number)


def _card_of_the_driver() -> str | None:
    """The name of a GPU that the driver lists, whether PyTorch can use it or not; None without a driver."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()
    except (OSError, subprocess.SubprocessError):
        return None
    return found[0].strip() if found else None


def keep_freed_memory(of_any_size: bool = False) -> None:
    """Let this process reuse freed memory instead of returning it to the system, up to 32 MiB a block; glibc only.

    `of_any_size` removes this bound, and keeps up to 2 GiB of free memory at the end of the heap: if sizes vary, much
    more memory is held than used.

    Every pass over an image frees and allocates the same blocks. The system has to clear new pages, which on a virtual
    machine may take as long as the arithmetic: without this setting, a training step of SPIN took 1.3 times as long.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        trim_threshold, top_pad, mmap_threshold, mmap_most = -1, -2, -3, -4
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_threshold, 2**25)  # the largest value that glibc accepts
        if of_any_size:
            mallopt(mmap_most, 0)
            mallopt(top_pad, 2**31 - 1)


def device_facts(where: torch.device) -> dict[str, str | int]:
    """Return the facts of a device that results record: kind, name and number of PyTorch's CPU threads."""
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else _cpu_name()
    return {"kind": where.type, "name": name, "threads": torch.get_num_threads()}


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # on Linux, where platform.processor() returns at most the architecture
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown CPU"
