"""A small network and its training. Run as a module, it trains it, to be killed: small FOLDER CASE."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import results
from ablations.schema import Training
from benchmarks.training import loop
from benchmarks.training.loop import Step

ITERATIONS = 40
CASES: dict[str, dict[str, Any]] = {
    "constant": {},
    "milestones, bfloat16": {
        "schedule": {"kind": "milestones", "milestones": [7, 30]},
        "precision": "bfloat16",
    },
    "one-cycle, averaged, clipped": {
        "schedule": {"kind": "one-cycle"},
        "ema": 0.9,
        "gradient_clip": 5.0,
        "validation": {"data": "any", "every": 7},
    },
    "float16": {"precision": "float16", "gradient_clip": 5.0},
    "long": {
        "schedule": {"kind": "one-cycle"},
        "ema": 0.99,
        "gradient_clip": 5.0,
        "iterations": 300,
        "checkpoint_every": 13,
        "validation": {"data": "any", "every": 70},
    },
    "workers": {"workers": 2, "iterations": 120, "checkpoint_every": 11},
}
DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU PyTorch can use")),
]


def protocol(**changes: Any) -> Training:
    plain = {
        "data": "any",
        "lr_patch": 8,
        "batch_size": 2,
        "iterations": ITERATIONS,
        "learning_rate": 1e-2,
        "schedule": {"kind": "constant"},
        "checkpoint_every": 10,
    }
    return Training(**(plain | changes))


class Crash(Exception):
    pass


class Patches:
    """Noise patches as arrays, a pure function of the index as those of PatchBatches.

    `asked` are the indices in the order in which they were asked for. With `until`, the training crashes after so many
    steps: on any device, while `on_step` is not called after each step on a GPU.
    """

    def __init__(self, until: int | None = None) -> None:
        self.until, self.asked = until, list[int]()

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        self.asked.append(index)
        if index == self.until:
            raise Crash
        generator = np.random.default_rng(index)
        hr = generator.integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
        return hr[..., ::2, ::2].copy(), hr


class Network(nn.Module):
    """Dropout makes it depend on the state of the generators, normalisation gives it buffers."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.drop = nn.Dropout(0.2)
        self.upconv = nn.Conv2d(8, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.drop(self.norm(self.first(x)).relu())
        return nn.functional.pixel_shuffle(self.upconv(y), 2)


def mean_weight(model: nn.Module) -> tuple[float, float]:
    """In place of PSNR and SSIM: any two numbers that depend on the network."""
    weight = next(model.parameters()).detach().double()
    return float(weight.mean()), float(weight.std())


def train(
    folder: Path,
    case: dict[str, Any],
    model: nn.Module | None = None,
    device: str = "cpu",
    patches: Patches | None = None,
    **arguments: Any,
) -> results.Run:
    run = results.Run("test", "network", 2, 1, root=folder)
    sampler: Any = patches or Patches()
    arguments = {"validate": mean_weight, "fingerprint": "f" * 64, "about": {"model": "network"}} | arguments
    model = Network() if model is None else model
    loop.train(run, model, sampler, protocol(**case), device=torch.device(device), **arguments)
    return run


def weights(run: results.Run) -> bytes:
    return run.path("weights.safetensors").read_bytes()


def history(run: results.Run) -> pd.DataFrame:
    """training.csv without the one column that depends on the clock."""
    return pd.read_csv(run.path("training.csv")).drop(columns="seconds")


def crash_at(iteration: int) -> Callable[[Step], None]:
    def on_step(step: Step) -> None:
        if step.iteration == iteration:
            raise Crash

    return on_step


class Faulty(Network):
    """Its loss or its gradient is not finite at the given steps."""

    def __init__(self, at: range, where: str) -> None:
        super().__init__()
        self.at, self.where, self.step = at, where, 0

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.step += 1
        if self.step in self.at:
            if self.where == "loss":
                return y * float("nan")
            y.register_hook(lambda gradient: gradient * float("inf"))
        return y


if __name__ == "__main__":

    def report(step: Step) -> None:
        print(step.iteration, flush=True)
        time.sleep(0.001)

    torch.set_num_threads(1)
    train(Path(sys.argv[1]), CASES[sys.argv[2]], on_step=report)
