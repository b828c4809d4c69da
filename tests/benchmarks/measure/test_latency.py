"""Latency: rounds in turn, warm-up by time, noise; what a GPU is asked, with clock and device played."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import models
from benchmarks.measure import latency as latency_module
from benchmarks.measure.latency import BATCH, Pass, implementations, latencies, latency, noise, seconds, throughput
from models.spin import cpu

CPU = torch.device("cpu")


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


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("not enough memory\nfor this")


class Clock:
    """A clock that lets each timed pass take the next of the durations, and then the last one for ever."""

    def __init__(self, durations: list[float]) -> None:
        self.durations = itertools.chain(durations, itertools.repeat(durations[-1]))
        self.now, self.inside = 0.0, False

    def __call__(self) -> float:
        self.now += next(self.durations) if self.inside else 100
        self.inside = not self.inside
        return self.now


def play(monkeypatch: pytest.MonkeyPatch, durations: list[float]) -> None:
    monkeypatch.setattr(latency_module, "perf_counter", Clock(durations))


def test_median_and_range_over_three_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    play(monkeypatch, [50.0, 5.0, 1.0, 50.0, 2.0, 4.0, 50.0, 30.0, 3.0])
    timed = latency(Counting(), (4, 6), CPU, repeats=5, warmup_s=0)
    assert timed.rounds_s == ((5.0, 1.0), (2.0, 4.0), (30.0, 3.0))  # the first pass of each round is not counted
    assert timed.median_s == 3.5
    assert timed.range_s == (3.0, 16.5)
    assert timed.lr_size == (4, 6)
    assert timed.dtype == "float32"
    written = timed.record()
    assert (written["median_s"], written["low_s"], written["high_s"]) == (3.5, 3.0, 16.5)
    assert written["rounds_s"] == timed.rounds_s
    assert (written["back_to_back_s"], written["graph_s"]) == (None, None)  # of a GPU


def test_warm_up_lasts_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    play(monkeypatch, [0.2])
    latency(model, (4, 6), CPU, repeats=1)
    assert len(model.calls) == 3 + 1  # the third pass ends after 0.5 s


def test_networks_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    class Named(Counting):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        def forward(self, x: Tensor) -> Tensor:
            order.append(self.name)
            return super().forward(x)

    told: list[int] = []
    found = latencies(
        [Pass(Named("a"), (4, 4)), Pass(Named("b"), (4, 8))], CPU, 3, 0, lambda done, total, note: told.append(done)
    )
    assert order == ["a", "a", "b", "b"] * 3
    assert told == list(range(6))
    assert [one.lr_size for one in found] == [(4, 4), (4, 8)]
    assert [len(one.rounds_s) for one in found] == [3, 3]


def test_eval_mode_without_gradients_and_the_modes_are_restored() -> None:
    model = Counting()
    timed = latency(model, (4, 6), CPU, repeats=3, warmup_s=0)
    assert model.calls == [((1, 3, 4, 6), False, True)] * 6
    assert model.training
    assert model.conv.training
    assert not model.frozen.training
    assert 0 < timed.range_s[0] <= timed.median_s <= timed.range_s[1] < 10


def test_a_failing_pass_leaves_the_modes_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), Failing())
    with pytest.raises(RuntimeError, match="not enough memory"):
        latency(model, (4, 6), CPU)
    assert all(module.training for module in model.modules())


def test_images_are_noise_in_the_dtype_of_the_network() -> None:
    image = noise(nn.Conv2d(3, 3, 1).double(), (40, 50), CPU, batch=2)
    assert image.shape == (2, 3, 40, 50)
    assert image.dtype == torch.float64
    assert len(image.unique()) > image.numel() // 2
    assert 0 <= image.min() < 0.01
    assert 0.99 < image.max() <= 1
    assert torch.equal(image, noise(nn.Conv2d(3, 3, 1).double(), (40, 50), CPU, batch=2))
    assert latency(nn.Conv2d(3, 3, 1).double(), (4, 6), CPU, repeats=1, warmup_s=0).dtype == "float64"


def test_latency_needs_a_repeat() -> None:
    with pytest.raises(ValueError, match="0 repeats"):
        latency(Counting(), (4, 6), CPU, repeats=0)


@pytest.mark.skipif(cpu.kernels() is None, reason="needs a C++ compiler")
def test_a_pass_without_kernels_uses_none() -> None:
    model = models.build("spin", 2, blocks=1)
    with cpu.watched() as served:
        latencies([Pass(model, (16, 16), kernels=False)], CPU, 1, 0)
    assert not served
    with cpu.watched() as served:
        latencies([Pass(model, (16, 16))], CPU, 1, 0)
    assert served


def test_throughput_counts_the_images_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Counting()
    play(monkeypatch, [1.0, 4.0])
    assert throughput(model, (4, 6), CPU, repeats=2) == BATCH / (4.0 / 2)
    assert {shape for shape, _, _ in model.calls} == {(BATCH, 3, 4, 6)}


# On a GPU


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
    taken = seconds(lambda: order.append("run"), torch.device("cuda", 1))
    assert taken == 0.0125
    assert order == ["synchronise", "start on cuda:1's stream", "run", "end on cuda:1's stream", "synchronise"]


@pytest.mark.parametrize("captured", [True, False])
def test_three_figures_of_a_gpu(monkeypatch: pytest.MonkeyPatch, captured: bool) -> None:
    """Passes with a synchronisation each, passes back to back, and a graph, or why there is none."""

    class Graph:
        def replay(self) -> None:
            pass

    @contextlib.contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        if not captured:
            raise RuntimeError("operation not permitted when stream is capturing\nCompile with ...")
        yield

    calls: list[int] = []

    def played(run: Any, device: torch.device) -> float:
        run()
        calls.append(1)
        return 8.0

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    monkeypatch.setattr(latency_module, "seconds", played)
    found = latency_module._on_a_gpu(lambda: None, 4, torch.device("cuda"))
    assert found["back_to_back_s"] == 2.0
    if captured:
        assert found["graph_s"] == 2.0
    else:
        assert found["no_graph"] == "operation not permitted when stream is capturing"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_latency_on_a_gpu() -> None:
    model = nn.Conv2d(3, 64, 3, padding=1)
    timed = latency(model, (256, 256), torch.device("cuda"), repeats=6, warmup_s=0.1)
    assert timed.back_to_back_s is not None
    assert timed.graph_s is not None
    assert 0 < timed.graph_s <= 2 * timed.back_to_back_s < 1
    assert model.weight.device == CPU


def test_a_network_is_probed_at_the_size_at_which_it_is_measured() -> None:
    """A smaller image may be below what it takes."""
    model = models.build("spin", 2, blocks=1, superpixel_sizes=(48,))
    assert [one.lr_size for one in implementations(model, (48, 50), CPU)][:1] == [(48, 50)]
