"""The cost of a network: parameters, MACs and activations, latency and peak memory, as cost.json holds them.

Counts depend on the network alone. Latency and memory also depend on the machine and on the implementation: SPIN has
kernels of its own for a CPU, so it is measured with and without them. PyTorch is compared with PyTorch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn

import models
from benchmarks.measure.devices import clocks, device_facts, software_facts
from benchmarks.measure.latency import BATCH, REPEATS, Pass, implementations, latencies, throughput
from benchmarks.measure.macs import Macs, lr_size_for, macs
from benchmarks.measure.peak import peak_memory
from benchmarks.measure.precision import Precision
from results import plain
from results.cost import PYTORCH


class Subject(NamedTuple):
    """A network whose cost is measured: `models.build(name, scale, **config)`."""

    name: str
    scale: int
    config: Mapping[str, Any]


def parameters(model: nn.Module) -> int:
    """Number of parameters, including frozen ones; shared parameters count once, buffers do not count."""
    return sum(parameter.numel() for parameter in model.parameters())


def costs(
    subjects: Sequence[Subject],
    device: torch.device,
    *,
    lr_size: tuple[int, int] | None = None,
    repeats: int = REPEATS,
    warmup_s: float | None = None,
    memory: bool = False,
    precision: Precision | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[dict[str, Any]]:
    """All costs of each network as a mapping that can be written as JSON: cost.json.

    MACs and activations at the top refer to an output of 1280x720, as papers print them; MACs are listed by module down
    to the third level, parameters by the module that holds them. `measured` has an entry per implementation, in which
    everything refers to an input of `lr_size` (H, W), by default the one for 1280x720: MACs, activations, latency
    (`latencies`, all networks in turn) and, with `memory`, peak memory. With a `precision` these are in float32, and
    `reduced` has the latency in this precision, taken in turn with them, and `gain`: the time of PyTorch in float32 per
    time in this precision. Raises CostError and the errors of `models.build`.
    """
    built = [models.build(subject.name, subject.scale, **subject.config) for subject in subjects]
    sizes = [lr_size or lr_size_for(subject.scale) for subject in subjects]
    found = [_counts(subject, model) for subject, model in zip(subjects, built, strict=True)]
    manners = [
        (index, one)
        for index, (model, size) in enumerate(zip(built, sizes, strict=True))
        for one in implementations(model, size, device)
    ]
    passes, reduced = [one for _, one in manners], list[Pass]()
    if precision:
        passes = [replace(one, precision="float32") for one in passes]
        own = zip(built, sizes, strict=True)
        reduced = [Pass(model, size, kernels=False, precision=precision) for model, size in own]
    before = clocks(device)
    timed = latencies([*passes, *reduced], device, repeats, warmup_s, progress)
    for (index, one), timing in zip(manners, timed[: len(manners)], strict=True):
        subject, size = subjects[index], sizes[index]
        counted = _counted(*_key(subject), size)
        entry = {
            "implementation": one.implementation,
            "lr_size": size,
            "macs": counted.total,
            "activations": counted.activations._asdict(),
            "latency": timing.record(),
            "memory": peak_memory(*subject, size, device, one.kernels).record() if memory else None,
        }
        if device.type == "cuda":
            entry["throughput"] = {
                "batch": BATCH, "images_per_s": throughput(built[index], size, device, repeats)
            }  # fmt: skip
        found[index]["measured"].append(entry)
    for content, timing in zip(found, timed[len(manners) :], strict=False):
        (exact,) = (one["latency"] for one in content["measured"] if one["implementation"] == PYTORCH)
        gain = exact["median_s"] / timing.median_s
        content["reduced"] = {"precision": precision, "latency": timing.record(), "gain": gain}
    machine = {**device_facts(device), **software_facts(device)}
    if before:
        machine["clocks"] = {"before": before, "after": clocks(device)}
    return [{**content, "machine": machine} for content in found]


def _counts(subject: Subject, model: nn.Module) -> dict[str, Any]:
    counted = _counted(*_key(subject), lr_size_for(subject.scale))
    height, width = counted.lr_size
    return {
        "parameters": parameters(model),
        "parameters_by_module": dict(_by_module(model)),
        "macs": {
            "total": counted.total,
            "lr_size": counted.lr_size,
            "output_size": (subject.scale * height, subject.scale * width),
            "by_module": {part: n for part, n in counted.by_module.items() if part and part.count(".") < 3},
            "by_operator": dict(counted.by_operator),
            "zero_operators": counted.zero_operators,
        },
        "activations": counted.activations._asdict(),
        "measured": [],
    }


def _by_module(model: nn.Module) -> Counter[str]:
    """Parameters of every module without those of its descendants, by dotted name."""
    found: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        found[name.rpartition(".")[0]] += parameter.numel()
    return found


def _key(subject: Subject) -> tuple[str, int, str]:
    return subject.name, subject.scale, json.dumps(plain(dict(subject.config)), sort_keys=True)


@lru_cache(maxsize=64)
def _counted(name: str, scale: int, config: str, lr_size: tuple[int, int]) -> Macs:
    """The MACs of a network, counted once a process: runs of one variant differ in their seeds only."""
    return macs(models.build(name, scale, **json.loads(config)), lr_size)
