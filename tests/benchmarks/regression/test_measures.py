"""What the regression check measures: costs, pixels of a grid, calibration, memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import models
from benchmarks.measure import memory
from benchmarks.regression import calibration, checks
from benchmarks.regression.references import find
from models.spin import cpu
from results.references import Reference
from tests.benchmarks.regression.planted import CPU, NAME


def test_costs(reference: Reference) -> None:
    ((network, _),) = find([], reference=NAME)
    model = network.module()
    stored = reference.measured.cost
    assert stored is not None
    assert set(stored.timings) == {"PyTorch", "C++ kernels"}
    for timing in stored.timings.values():
        assert len(timing.forward_s) == len(timing.calibration_s) == checks.REPEATS
    assert stored.parameters == sum(parameter.numel() for parameter in model.parameters())
    with cpu.off(), torch.no_grad():
        model(torch.rand(1, 3, *checks.LR_SIZE))  # makes the tables for this size, which are kept
        assert stored.memory_bytes == memory.live_bytes(model, checks.LR_SIZE, CPU)


def test_the_grid_reaches_from_edge_to_edge() -> None:
    image = np.arange(100 * 37 * 3, dtype=np.uint32).reshape(100, 37, 3).astype(np.uint8)
    pixels = checks.sampled_pixels(image)
    assert len(pixels) == checks.GRID**2
    assert (pixels["row"].min(), pixels["row"].max()) == (0, 99)
    assert (pixels["column"].min(), pixels["column"].max()) == (0, 36)
    for row, column, *rgb in pixels.to_numpy().tolist():
        assert image[row, column].tolist() == rgb
    # an image smaller than the grid: some pixels twice
    assert len(checks.sampled_pixels(image[:5, :3])) == checks.GRID**2


def test_calibration_in_turn_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    network, calls, shapes = nn.Conv2d(3, 3, 3), list[int](), list[tuple[int, ...]]()
    network.register_forward_pre_hook(lambda _, inputs: shapes.append(tuple(inputs[0].shape)))

    def seconds(run: Callable[[], Any], device: Any) -> float:
        run()
        calls.append(torch.get_num_threads())
        assert device == CPU
        return float(len(calls))

    monkeypatch.setattr(calibration, "seconds", seconds)
    torch.set_num_threads(before := torch.get_num_threads())
    timings = calibration.timings(network, (16, 16), CPU, 3)
    assert calls == [1] * 10
    assert shapes[-5:] == [(1, 3, 16, 16)] * 5
    assert set(timings) == {"PyTorch"}
    assert timings["PyTorch"].calibration_s == (5, 7, 9)  # the first two rounds are not counted
    assert timings["PyTorch"].forward_s == (6, 8, 10)
    assert torch.get_num_threads() == before


@pytest.mark.skipif(cpu.kernels() is None, reason="no compiler")
def test_a_network_with_kernels_is_timed_with_and_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    served = list[bool]()

    def seconds(run: Callable[[], Any], device: Any) -> float:
        with cpu.watched() as used:
            run()
        served.append(bool(used))
        return float(len(served))

    monkeypatch.setattr(calibration, "seconds", seconds)
    timings = calibration.timings(models.build("spin", 4, blocks=1), (16, 16), CPU, 1)
    assert served == [False, False, True] * 3  # the workload, PyTorch, kernels
    assert {name: (*timing.forward_s, *timing.calibration_s) for name, timing in timings.items()} == {
        "PyTorch": (8, 7),
        "C++ kernels": (9, 7),
    }
    assert timings["PyTorch"].instructions == torch.backends.cpu.get_cpu_capability()


def test_the_workload_gives_numbers_and_takes_no_random_ones() -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    with torch.inference_mode():
        first, second = (calibration.Workload()(torch.full((1, 3, 16, 24), 0.5)) for _ in range(2))
    assert first.shape == (1, calibration.WIDTH, 16, 24)
    assert torch.isfinite(first).all()
    assert first.std() > 0.1  # neither dead nor denormal
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)


class Steps(nn.Module):
    """Holds 3 images more at the most: the sum, its double and their product; a view and work in place add nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1000))

    def forward(self, image: Tensor) -> Tensor:
        total = image + self.weight[0]
        double = 2 * total
        product = (total * double).flatten(1).relu_()
        del total, double
        return product + 1


def test_memory_of_tensors_held_at_once() -> None:
    assert memory.live_bytes(Steps(), (8, 16), CPU) == 3 * (4 * 3 * 8 * 16)
