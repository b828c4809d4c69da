"""The peak memory of a forward pass: what a user needs to have free."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn

import models
from benchmarks.measure.latency import evaluating, noise
from benchmarks.measure.macs import CostError
from foundation.signals import end_at_once, withheld
from models.spin import cpu


@dataclass(frozen=True)
class Memory:
    """Peak memory of a forward pass on one image of `lr_size` (H, W), in bytes, without the weights and the image."""

    bytes: int
    lr_size: tuple[int, int]
    method: str

    def record(self) -> dict[str, Any]:
        """The content of cost.json."""
        return dict(vars(self))


def peak_memory(
    name: str,
    scale: int,
    config: Mapping[str, Any],
    lr_size: tuple[int, int],
    device: torch.device,
    kernels: bool = True,
) -> Memory:
    """Measure a forward pass of `models.build(name, scale, **config)`, with SPIN's kernels for a CPU or without.

    On a CPU this is the growth of a fresh process during its first pass, including the workspaces of libraries. Only
    Linux can reset the recorded peak of a process: elsewhere, the result is too large if a pass needs less memory than
    building the network. On a GPU it is the memory that PyTorch's allocator hands out during a second pass, in this
    process: a card in exclusive mode accepts no other. Raises CostError for a pass that fails or is killed (usually for
    lack of memory), and the errors of `models.build`.
    """
    return _peak_memory(partial(models.build, name, scale, **config), lr_size, device, kernels)


def _peak_memory(
    build: Callable[[], nn.Module], lr_size: tuple[int, int], device: torch.device, kernels: bool = True
) -> Memory:
    try:
        if device.type == "cuda":
            return Memory(_second_pass(build(), lr_size, device), lr_size, "PyTorch's allocator, second pass")
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, initializer=end_at_once) as process:
            with withheld():
                peak = process.submit(_first_pass, build, lr_size, device, torch.get_num_threads(), kernels)
            return Memory(peak.result(), lr_size, "growth of a fresh process's resident memory")
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise CostError(f"peak memory at LR {lr_size[0]}x{lr_size[1]} (HxW): {reason}") from error


def _second_pass(model: nn.Module, lr_size: tuple[int, int], device: torch.device) -> int:
    with evaluating(model, device), torch.inference_mode():
        image = noise(model, lr_size, device)
        model(image)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        model(image)
        return torch.cuda.max_memory_allocated(device) - before


def _first_pass(
    build: Callable[[], nn.Module], lr_size: tuple[int, int], device: torch.device, threads: int, kernels: bool
) -> int:
    torch.set_num_threads(threads)
    model = build().to(device).eval()
    image = noise(model, lr_size, device)
    with torch.inference_mode(), nullcontext() if kernels else cpu.off():
        return memory_growth(partial(model, image))


def memory_growth(job: Callable[[], Any]) -> int:
    """Peak growth of this process during `job`, in bytes; meaningful in a fresh process only."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark on Linux
    before = psutil.Process().memory_info().rss
    job()
    return max(0, _high_water() - before)


def _high_water() -> int:
    """Peak resident memory of this process, in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    if sys.platform == "linux":  # where getrusage includes the peak of the parent process
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
