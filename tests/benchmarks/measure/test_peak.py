"""Peak memory against known allocations, and of passes that fail."""

from __future__ import annotations

import os
import sys
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.measure.macs import CostError
from benchmarks.measure.peak import _peak_memory, peak_memory
from models.spin import cpu

CPU = torch.device("cpu")
MIB = 2**20
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot forget its peak")


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


@pytest.mark.slow
@pytest.mark.parametrize("built", [0, pytest.param(300, marks=only_linux)])
def test_peak_memory_is_that_of_the_pass_alone(built: int) -> None:
    """Whatever this process, or building the network, held before."""
    held = np.ones(200 * MIB // 8)
    memory = _peak_memory(partial(Allocating, 100, built), (8, 8), CPU)
    assert held.all()
    assert 95 * MIB < memory.bytes < 115 * MIB
    assert memory.lr_size == (8, 8)


@pytest.mark.parametrize(("network", "reason"), [(Failing, "not enough memory$"), (Dying, "terminated abruptly")])
def test_a_pass_that_fails_or_dies_is_one_clear_line(network: type[nn.Module], reason: str) -> None:
    with pytest.raises(CostError, match=rf"peak memory at LR 8x9 \(HxW\): .*{reason}"):
        _peak_memory(network, (8, 9), CPU)


@pytest.mark.slow
def test_peak_memory_of_a_registered_network() -> None:
    memory = peak_memory("spin", 2, {"blocks": 1}, (48, 64), CPU)
    assert MIB / 2 < memory.bytes < 200 * MIB
    with pytest.raises(ValueError, match="no-such-network"):
        peak_memory("no-such-network", 2, {}, (48, 64), CPU)


@pytest.mark.slow
@only_linux
@pytest.mark.skipif(cpu.kernels() is None, reason="needs a C++ compiler")
def test_kernels_take_less_memory_than_pytorch() -> None:
    with_kernels, without = (
        peak_memory("spin", 2, {"blocks": 1}, (128, 128), CPU, kernels) for kernels in (True, False)
    )
    assert with_kernels.bytes < 0.8 * without.bytes


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_memory_on_a_gpu_is_that_of_the_second_pass() -> None:
    memory = _peak_memory(partial(nn.Conv2d, 3, 64, 1), (512, 512), torch.device("cuda"))
    assert 64 * 512 * 512 * 4 <= memory.bytes < 1.5 * 64 * 512 * 512 * 4
