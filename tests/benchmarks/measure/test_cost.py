"""Parameters, latency and memory: what is timed, what is restored, and memory against known allocations."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import models
from benchmarks.measure import cost
from benchmarks.measure.cost import CostError, costs, latency, lr_size_for, macs, parameters, peak_memory

CPU = torch.device("cpu")
MIB = 2**20
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot forget its peak")


class Counting(nn.Module):
    """Remembers how it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.frozen = nn.BatchNorm2d(3).eval()
        self.calls: list[tuple[tuple[int, ...], bool, bool]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.calls.append((tuple(x.shape), self.training or self.frozen.training, torch.is_inference_mode_enabled()))
        return self.conv(x)


class Allocating(nn.Module):
    """Holds `mebibytes` for a moment, after having held more than that when it was built."""

    def __init__(self, mebibytes: int, built: int = 0) -> None:
        super().__init__()
        torch.ones(built * MIB // 4)
        self.mebibytes = mebibytes

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.ones(self.mebibytes * MIB // 4).mean()


class Dying(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        os._exit(1)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("not enough memory\nfor this")


def ticks(monkeypatch: pytest.MonkeyPatch, durations: list[float]) -> None:
    """A clock that lets each timed pass take the next of the durations."""

    def clock() -> Iterator[float]:
        now = 0.0
        for duration in durations:
            yield now
            now += duration
            yield now
            now += 100

    readings = clock()
    monkeypatch.setattr(cost, "perf_counter", lambda: next(readings))


# Parameters


def test_parameters_count_shared_ones_once_and_buffers_never() -> None:
    conv = nn.Conv2d(3, 8, 3)
    conv.weight.requires_grad_(False)
    assert parameters(nn.Sequential(conv, conv, nn.BatchNorm2d(8))) == 3 * 8 * 9 + 8 + 16


# Latency


def test_latency_is_the_median_and_quartiles_of_the_timed_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks(monkeypatch, [5.0, 1.0, 2.0, 4.0, 30.0])
    timed = latency(Counting(), (4, 6), CPU, repeats=5, warmup=3)
    assert timed.samples_s == (5.0, 1.0, 2.0, 4.0, 30.0)
    assert (timed.q1_s, timed.median_s, timed.q3_s) == (2.0, 4.0, 5.0)
    assert (timed.repeats, timed.warmup, timed.lr_size, timed.dtype) == (5, 3, (4, 6), "float32")
    assert (timed.device, timed.threads) == ("cpu", torch.get_num_threads())
    assert timed.device_name


def test_latency_warms_up_in_eval_mode_without_gradients_and_restores_the_modes() -> None:
    model = Counting()
    timed = latency(model, (4, 6), CPU, repeats=4, warmup=3)
    assert model.calls == [((1, 3, 4, 6), False, True)] * 7
    assert model.training
    assert model.conv.training
    assert not model.frozen.training
    assert 0 < timed.q1_s <= timed.median_s <= timed.q3_s < 10


def test_a_failing_pass_leaves_the_modes_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), Failing())
    with pytest.raises(RuntimeError, match="not enough memory"):
        latency(model, (4, 6), CPU)
    assert all(module.training for module in model.modules())


def test_latency_in_the_networks_own_dtype() -> None:
    assert latency(nn.Conv2d(3, 3, 1).double(), (4, 6), CPU, repeats=1, warmup=0).dtype == "float64"


def test_latency_needs_a_repeat() -> None:
    with pytest.raises(ValueError, match="0 repeats"):
        latency(Counting(), (4, 6), CPU, repeats=0)


def test_gpu_passes_are_timed_by_events_between_synchronisations(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    names = itertools.cycle(["start", "end"])

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing
            self.name = next(names)

        def record(self, stream: str) -> None:
            order.append(f"{self.name} on {stream}")

        def elapsed_time(self, end: Any) -> float:
            assert (self.name, end.name) == ("start", "end")
            assert order[-1] == "synchronise"
            return 12.5

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"{device}'s stream")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: order.append("synchronise"))
    seconds = cost._seconds(lambda: order.append("run"), torch.device("cuda", 1))
    assert seconds == 0.0125
    assert order == ["synchronise", "start on cuda:1's stream", "run", "end on cuda:1's stream", "synchronise"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_latency_and_memory_on_a_gpu() -> None:
    device = torch.device("cuda")
    model = nn.Conv2d(3, 64, 3, padding=1)
    timed = latency(model, (256, 256), device, repeats=5)
    assert timed.device == "cuda"
    assert 0 < timed.median_s < 1
    assert model.weight.device == CPU
    memory = cost._peak_memory(partial(nn.Conv2d, 3, 64, 1), (512, 512), device)
    assert memory.bytes >= 64 * 512 * 512 * 4
    assert memory.device == "cuda"


# Peak memory


@pytest.mark.parametrize("built", [0, pytest.param(300, marks=only_linux)])
def test_peak_memory_is_that_of_the_pass_alone(built: int) -> None:
    """Whatever this process, or building the network, held before."""
    held = np.ones(200 * MIB // 8)
    memory = cost._peak_memory(partial(Allocating, 100, built), (8, 8), CPU)
    assert held.all()
    assert 95 * MIB < memory.bytes < 115 * MIB
    assert (memory.lr_size, memory.device) == ((8, 8), "cpu")


@pytest.mark.parametrize(("network", "reason"), [(Failing, "not enough memory$"), (Dying, "terminated abruptly")])
def test_a_pass_that_fails_or_dies_is_one_clear_line(network: type[nn.Module], reason: str) -> None:
    with pytest.raises(CostError, match=rf"peak memory at LR 8x9 \(HxW\): .*{reason}"):
        cost._peak_memory(network, (8, 9), CPU)


def test_peak_memory_of_a_registered_network() -> None:
    memory = peak_memory("spin", 2, {"blocks": 1}, (48, 64), CPU)
    assert MIB / 2 < memory.bytes < 200 * MIB
    with pytest.raises(ValueError, match="no-such-network"):
        peak_memory("no-such-network", 2, {}, (48, 64), CPU)


# All of it


def test_measure_is_what_cost_json_holds() -> None:
    measured = costs("spin", 4, {}, CPU, latency_lr=(24, 32), repeats=2, warmup=1)
    model = models.build("spin", 4)
    counted = macs(model, lr_size_for(4))
    assert json.loads(json.dumps(measured))["macs"]["output_size"] == [720, 1280]
    assert measured["parameters"] == parameters(model) == 555_035
    assert measured["macs"]["total"] == counted.total == sum(measured["macs"]["by_operator"].values())
    assert measured["activations"] == counted.activations > 0
    parts = measured["macs"]["by_module"]
    assert set(parts) == {name for name in counted.by_module if name and name.count(".") < 3}
    assert sum(n for name, n in parts.items() if "." not in name) == counted.total
    assert measured["latency"]["lr_size"] == (24, 32)
    assert measured["memory"] is None


def test_measure_takes_memory_at_the_size_of_the_latency() -> None:
    measured = costs("spin", 2, {"blocks": 1}, CPU, latency_lr=(24, 32), repeats=1, warmup=0, memory=True)
    assert measured["memory"]["bytes"] > 0
    assert measured["memory"]["lr_size"] == (24, 32)
