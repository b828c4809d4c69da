"""What SPIN is timed at: forward passes and a training step, ours and the dense reference's, from the same weights."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

import models
from benchmarks.measure.devices import keep_freed_memory
from benchmarks.measure.macs import macs
from benchmarks.measure.peak import memory_growth
from models.spin import SPIN
from tests.oracles import spin_dense as dense
from tests.oracles.spin_weights import as_published, oracle_config
from tests.speed.targets import Figure

Side = Literal["ours", "dense"]


@dataclass(frozen=True)
class Work:
    """A forward pass, or a training step, at a size (H, W) of the LR image."""

    name: str
    scale: int
    lr_size: tuple[int, int]
    step: bool = False
    batch: int = 1
    repeats: int = 5
    sides: tuple[Side, ...] = ("ours", "dense")

    def prepared(self, side: Side) -> Callable[[], Tensor]:
        """The work itself, which gives SR or the loss: everything is there, weights are as PyTorch begins with."""
        torch.manual_seed(0)
        model = models.build("spin", self.scale)
        assert isinstance(model, SPIN)
        lr = torch.rand(self.batch, 3, *self.lr_size)
        parameters = list(model.parameters())
        forward: Callable[[Tensor], Tensor] = model
        if side == "dense":
            state = {name: value.detach().clone().requires_grad_() for name, value in as_published(model).items()}
            parameters = list(state.values())
            forward = partial(dense.forward, state=state, scale=self.scale, config=oracle_config(model.config))
        if not self.step:
            model.eval()
            return torch.inference_mode()(partial(forward, lr))
        height, width = self.lr_size
        hr = torch.rand(self.batch, 3, self.scale * height, self.scale * width)
        optimiser = torch.optim.Adam(parameters, fused=True)

        def step() -> Tensor:
            optimiser.zero_grad(set_to_none=True)
            loss = F.l1_loss(forward(lr), hr)
            loss.backward()
            optimiser.step()
            return loss.detach()

        return step

    def macs(self) -> int:
        """Of the forward pass over the batch."""
        return self.batch * macs(models.build("spin", self.scale), self.lr_size).total

    def memory(self, side: Side) -> int:
        """Peak of a fresh process, less what it holds after importing, in bytes."""
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            return process.submit(_memory, self, side, torch.get_num_threads()).result()


def _memory(work: Work, side: Side, threads: int) -> int:
    torch.set_num_threads(threads)
    keep_freed_memory()

    def whole() -> None:
        run = work.prepared(side)
        for _ in range(2 if work.step else 1):  # Adam's state is there from the second step on
            run()

    return memory_growth(whole)


def _figure(
    official: float | None, official_gb: float | None, most: float | None, ratio: float | None, memory_gb: float
) -> Figure:
    return Figure(
        official_equivalents=official,
        official_bytes=official_gb and round(official_gb * 1e9),
        most_equivalents=most,
        most_deviation=0.2 if official else None,
        least_ratio=ratio,
        most_bytes=round(memory_gb * 1e9),
    )


# Official figures: the published code on a quiet machine of two cores, in 10⁹ MACs of a large matrix product, and GB.
WORKS = {
    Work("LR 320x180, x4, forward", 4, (180, 320), repeats=9): _figure(532, 0.62, 133, 4, 0.7 * 0.62),
    Work("LR 640x360, x2, forward", 2, (360, 640)): _figure(4970, 5.9, 710, 7, 0.1 * 5.9),
    Work("training step, LR 64x64, batch 4, x4", 4, (64, 64), True, 4, 15): _figure(207, 2.1, 94, 2.2, 0.7 * 2.1),
    Work("LR 1280x720, x2, forward", 2, (720, 1280), repeats=1, sides=("ours",)): _figure(None, None, None, None, 3),
}
SIZES = [(90, 160), (180, 320), (270, 480), (360, 640), (720, 1280)]  # of the growth at x2


def reduced_precision(model: SPIN, lr: Tensor, dtype: torch.dtype | None) -> Tensor:
    """The forward pass in autocast to `dtype`, or as it is."""
    with torch.inference_mode(), torch.autocast("cpu", dtype) if dtype else nullcontext():
        return model(lr).float()
