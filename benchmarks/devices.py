"""Where a computation runs: the device by its name on the command line, and what results say of it."""

from __future__ import annotations

import platform
from pathlib import Path

import torch


def device(name: str) -> torch.device:
    """Return the device for "auto" (the GPU where there is one), "cpu" or "cuda".

    On a GPU float32 means float32 from then on: PyTorch's default of TF32 in convolutions is switched off.
    Raises ValueError for another name, and for "cuda" where PyTorch sees no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ValueError(f"unknown device {name!r}, expected auto, cpu or cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise ValueError(f"device 'cuda' asked for, but PyTorch {torch.__version__} ({build}) sees no GPU")
    if name == "cpu" or not available:
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda")


def describe(where: torch.device) -> dict[str, str | int]:
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
