"""Trainings by the processes of torchrun, one after the other: together FOLDER, or together FOLDER NETWORK..."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import models
from benchmarks.training import ranks
from benchmarks.training.loop import Step, TrainingError, TrainingStopped
from tests.benchmarks.training.small import Faulty, Network, Patches, train
from tests.models.shallow import shorten

EXACT = {"iterations": 20, "gradient_clip": 50.0, "ema": 0.9, "schedule": {"kind": "one-cycle"}, "learning_rate": 1e-3}


def network(name: str) -> nn.Module:
    """A small network in float64."""
    torch.manual_seed(4)
    if name == "partly":
        return Partly().double()
    model = models.build(name, 2, **({"superpixel_sizes": (12,)} if name == "spin" else {}))
    return shorten(model, name).double()


class Partly(nn.Module):
    """A part of it sees the first share of a batch alone, and one sees nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Conv2d(3, 12, 3, padding=1)
        self.some = nn.Conv2d(3, 12, 3, padding=1)
        self.none = nn.Conv2d(3, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.all(x)
        if ranks.rank() == 0:
            y = torch.cat([y[:1] + self.some(x[:1]), y[1:]])
        return nn.functional.pixel_shuffle(y, 2)


class Whole(Patches):
    """Noise of `size` LR pixels a side, by default enough for SPIN with its smallest superpixels."""

    def __init__(self, size: int = 16) -> None:
        super().__init__()
        self.size = size

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        super().__getitem__(index)
        hr = np.random.default_rng(index).integers(0, 256, (2, 3, 2 * self.size, 2 * self.size), dtype=np.uint8)
        return hr[..., ::2, ::2].copy(), hr


class Share(Whole):
    """This process's share of each batch."""

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        lr, hr = super().__getitem__(index)
        part = ranks.share_of(len(lr))
        return lr[part], hr[part]


class Fragile(Network):
    """It fails in one process, at the third step."""

    step = 0

    def forward(self, x: Tensor) -> Tensor:
        self.step += 1
        if self.step == 3 and ranks.rank() == 1:
            raise ValueError("boom")
        return super().forward(x)


def asked_to_stop(step: Step) -> None:
    if step.iteration == 16 and ranks.rank() == 1:
        signal.raise_signal(signal.SIGTERM)


def share(folder: Path, case: dict[str, Any], *arguments: Any, size: int = 16, **named: Any) -> None:
    with ranks.one_fate():
        train(folder, case, *arguments, patches=Share(size), **named)


def all_equal(folder: Path, *names: str) -> None:
    for name in names:
        share(folder / name, EXACT, network(name), size=24)


def main(folder: Path) -> None:
    """Rank 0 writes what came out."""
    told: dict[str, Any] = {}
    for name in ("espcn", "spin", "partly"):
        share(folder / name, EXACT, network(name))
    told["network"] = ranks.departures(Network(), 8, torch.device("cpu"))
    share(folder / "whole", {})
    try:
        share(folder / "stopped", {}, on_step=asked_to_stop)
    except TrainingStopped as error:
        told["stopped"] = str(error)
    share(folder / "stopped", {}, Network(seed=9))
    try:
        share(folder / "infinite", {}, Faulty(range(12, 13), "loss"))
    except TrainingError as error:
        told["infinite"] = str(error)
    told["still together"] = ranks.exchange(ranks.rank())
    try:
        share(folder / "failed", {}, Fragile())
    except ranks.Parted as error:
        told["failed"], told["cause"] = str(error), str(error.__cause__)
    except ValueError:
        os._exit(3)
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with ranks.joined():
        if sys.argv[2:]:
            all_equal(Path(sys.argv[1]), *sys.argv[2:])
        else:
            main(Path(sys.argv[1]))
