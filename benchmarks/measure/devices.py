"""The device of a computation: its choice by name, and its description in results."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

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
        if name == "auto" and (found := cards()):
            log.warning(
                "%s is present, but PyTorch %s (%s) cannot use it: the CPU is used",
                found[0].name,
                torch.__version__,
                build,
            )
        keep_freed_memory()
        return torch.device("cpu")
    if not count:
        raise ValueError(f"device {name!r} requested, but PyTorch {torch.__version__} ({build}) sees no GPU")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS gives the same bits twice only with it
    if name.startswith("GPU-"):
        uuids = [_uuid(number) for number in range(count)]
        if name not in uuids:
            raise ValueError(f"device {name!r} requested, but PyTorch sees {', '.join(uuids)}")
        return torch.device("cuda", uuids.index(name))
    number = int(index[1]) if index and index[1] else None
    if number is not None and number >= count:
        raise ValueError(f"device {name!r} requested, but PyTorch sees {count} GPUs, from cuda:0 on")
    return torch.device("cuda") if number is None else torch.device("cuda", number)


def cores() -> int:
    """The cores that this process may use: of the machine, its affinity, and its container (cgroups version 2)."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([found, *_quotas(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup"))])


def use_threads(count: int | None) -> None:
    """Compute on so many threads of the CPU; None: as PyTorch chooses, but not more than there are `cores`."""
    if count or cores() < torch.get_num_threads():
        torch.set_num_threads(count or cores())


def _quotas(root: Path, memberships: Path) -> list[int]:
    """The cores, at least one, of each quota that Linux sets for this process: of its group and of those around it."""
    try:
        lines = memberships.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for path in [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]:
        for folder in [root / path, *(root / path).parents]:
            if folder.is_relative_to(root) and (folder / "cpu.max").is_file():
                quota, period = (folder / "cpu.max").read_text(encoding="utf-8").split()
                found += [max(1, int(quota) // int(period))] if quota != "max" else []
    return found


class Card(NamedTuple):
    """A GPU as the driver lists it."""

    number: int
    uuid: str
    name: str


def cards() -> list[Card]:
    """The GPUs that the driver lists, whether PyTorch can use them or not; none without a driver."""
    return [Card(int(number), uuid, name) for number, uuid, name in _asked_of_the_driver("index,uuid,name")]


def _asked_of_the_driver(fields: str, *which: str) -> list[list[str]]:
    """The driver's answer: for each card a value for each of the fields; empty without a driver."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", *which]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [[value.strip() for value in line.split(",")] for line in answer.splitlines() if line.strip()]


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
    name = card(where) or cpu_name()
    return {"kind": where.type, "name": name, "threads": torch.get_num_threads()}


def card(where: torch.device) -> str | None:
    """The name of a GPU; None for a CPU."""
    return torch.cuda.get_device_name(where) if where.type == "cuda" else None


def software_facts(where: torch.device) -> dict[str, Any]:
    """What else the times on a GPU depend on: versions, TF32 and cuDNN's search for algorithms. Empty for a CPU."""
    if where.type != "cuda":
        return {}
    driver = _asked_of_the_driver("driver_version", f"--id={_uuid(where)}")
    return {
        "driver": driver[0][0] if driver else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
    }


def clocks(where: torch.device) -> dict[str, float]:
    """A GPU's clocks (MHz), temperature (degrees Celsius), power and its limit (W) at this moment, where known."""
    if where.type != "cuda":
        return {}
    names = {
        "sm_mhz": "clocks.sm",
        "memory_mhz": "clocks.mem",
        "celsius": "temperature.gpu",
        "power_w": "power.draw",
        "power_limit_w": "power.limit",
    }
    answer = _asked_of_the_driver(",".join(names.values()), f"--id={_uuid(where)}")
    values = answer[0] if answer else []
    return {name: float(value) for name, value in zip(names, values, strict=False) if _is_number(value)}


def _uuid(where: torch.device | int) -> str:
    return f"GPU-{torch.cuda.get_device_properties(where).uuid}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None  # the driver says "[N/A]" where a card has no such sensor


def cpu_name() -> str:
    """The model of this machine's processor."""
    cpuinfo = Path("/proc/cpuinfo")  # on Linux, where platform.processor() returns at most the architecture
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    return platform.processor() or platform.machine() or "unknown CPU"
