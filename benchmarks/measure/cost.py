"""The cost of a network: parameters, MACs and activations (`macs`), latency and peak memory.

Counts depend on the network and refer to an output of 1280x720. Latency and memory also depend on the machine, which
is part of their results.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn

import models
from benchmarks.measure.devices import device_facts
from benchmarks.measure.macs import CostError, Macs, example, lr_size_for, macs
from results import plain

__all__ = [
    "CostError",
    "Latency",
    "Macs",
    "Memory",
    "costs",
    "evaluating",
    "latency",
    "lr_size_for",
    "macs",
    "memory_growth",
    "parameters",
    "peak_memory",
]


@dataclass(frozen=True)
class Latency:
    """Seconds of one forward pass on one image of `lr_size` (H, W): median, quartiles, and every sample in order.

    The samples exclude the `warmup` passes before them. `threads` is the number of PyTorch's CPU threads.
    """

    median_s: float
    q1_s: float
    q3_s: float
    samples_s: tuple[float, ...]
    repeats: int
    warmup: int
    lr_size: tuple[int, int]
    dtype: str
    device: str
    device_name: str
    threads: int


@dataclass(frozen=True)
class Memory:
    """Peak memory of one forward pass on one image of `lr_size` (H, W), in bytes, without the weights and the image."""

    bytes: int
    lr_size: tuple[int, int]
    device: str
    device_name: str
    method: str


def parameters(model: nn.Module) -> int:
    """Number of parameters, including frozen ones; shared parameters count once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def latency(
    model: nn.Module, lr_size: tuple[int, int], device: torch.device, repeats: int = 20, warmup: int = 5
) -> Latency:
    """Time `repeats` forward passes after `warmup` others, in eval mode without gradients.

    The time is wall-clock time on a CPU, and that between synchronised events on a GPU. The network's device and modes
    are restored. Raises ValueError for fewer than one repeat.
    """
    if repeats < 1:
        raise ValueError(f"{repeats} repeats, expected 1 or more")
    with evaluating(model, device), torch.inference_mode():
        image = example(model, lr_size, device)
        for _ in range(warmup):
            model(image)
        samples = [_seconds(partial(model, image), device) for _ in range(repeats)]
    q1, median, q3 = np.quantile(samples, [0.25, 0.5, 0.75]).tolist()
    where = device_facts(device)
    return Latency(
        median_s=median,
        q1_s=q1,
        q3_s=q3,
        samples_s=tuple(samples),
        repeats=repeats,
        warmup=warmup,
        lr_size=lr_size,
        dtype=str(image.dtype).removeprefix("torch."),
        device=device.type,
        device_name=str(where["name"]),
        threads=int(where["threads"]),
    )


def peak_memory(
    name: str, scale: int, config: Mapping[str, Any], lr_size: tuple[int, int], device: torch.device
) -> Memory:
    """Measure the first forward pass of `models.build(name, scale, **config)` in a process of its own.

    On a GPU this is the memory that PyTorch's allocator hands out, on a CPU the growth of the process, including the
    workspaces of libraries. Only Linux can reset the recorded peak of a process: elsewhere, the result is too large if
    a pass needs less memory than building the network. Raises CostError for a pass that fails or is killed (usually for
    lack of memory), and the errors of `models.build`.
    """
    return _peak_memory(partial(models.build, name, scale, **config), lr_size, device)


def costs(
    name: str,
    scale: int,
    config: Mapping[str, Any],
    device: torch.device,
    *,
    latency_lr: tuple[int, int] | None = None,
    repeats: int = 20,
    warmup: int = 5,
    memory: bool = False,
) -> dict[str, Any]:
    """All costs of `models.build(name, scale, **config)` as a mapping that can be written as JSON: cost.json.

    MACs and activations refer to an output of 1280x720; MACs are listed by module down to the third level. Latency and,
    with `memory` (which takes seconds in another process), peak memory refer to an input of `latency_lr` (H, W), by
    default the input for 1280x720. Raises CostError and the errors of `models.build`.
    """
    model = models.build(name, scale, **config)
    counted = _counted(name, scale, json.dumps(plain(dict(config)), sort_keys=True))
    height, width = counted.lr_size
    lr_size = latency_lr or counted.lr_size
    return {
        "parameters": parameters(model),
        "macs": {
            "total": counted.total,
            "lr_size": counted.lr_size,
            "output_size": (scale * height, scale * width),
            "by_module": {part: n for part, n in counted.by_module.items() if part and part.count(".") < 3},
            "by_operator": dict(counted.by_operator),
            "zero_operators": counted.zero_operators,
        },
        "activations": counted.activations,
        "latency": asdict(latency(model, lr_size, device, repeats, warmup)),
        "memory": asdict(peak_memory(name, scale, config, lr_size, device)) if memory else None,
    }


@lru_cache(maxsize=64)
def _counted(name: str, scale: int, config: str) -> Macs:
    """The MACs of a network, counted once a process: runs of one variant differ in their seeds only."""
    return macs(models.build(name, scale, **json.loads(config)), lr_size_for(scale))


@contextmanager
def evaluating(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put the network on `device` and into eval mode; on exit its device and the modes of its modules are restored."""
    home = next((parameter.device for parameter in model.parameters()), device)
    training = [module for module in model.modules() if module.training]
    try:
        model.to(device).eval()
        yield
    finally:
        model.to(home)
        for module in training:
            module.training = True


def _seconds(run: Callable[[], Any], device: torch.device) -> float:
    if device.type != "cuda":
        begin = perf_counter()
        run()
        return perf_counter() - begin
    stream = torch.cuda.current_stream(device)
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize(device)
    start.record(stream)
    run()
    end.record(stream)
    torch.cuda.synchronize(device)
    return start.elapsed_time(end) / 1000


def _peak_memory(build: Callable[[], nn.Module], lr_size: tuple[int, int], device: torch.device) -> Memory:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        job = process.submit(_forward_peak, build, lr_size, device, torch.get_num_threads())
        try:
            peak, method = job.result()
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            raise CostError(f"peak memory at LR {lr_size[0]}x{lr_size[1]} (HxW): {reason}") from error
    return Memory(peak, lr_size, device.type, str(device_facts(device)["name"]), method)


def _forward_peak(
    build: Callable[[], nn.Module], lr_size: tuple[int, int], device: torch.device, threads: int
) -> tuple[int, str]:
    torch.set_num_threads(threads)
    model = build().to(device).eval()
    image = example(model, lr_size, device)
    with torch.inference_mode():
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            model(image)
            return torch.cuda.max_memory_allocated(device) - before, "torch.cuda.max_memory_allocated"
        return memory_growth(partial(model, image)), "growth of a fresh process's resident memory"


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
