"""Three random images behind the interface of a data set, and a small network for them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.data.images import DataError
from benchmarks.data.pairs import Pair
from benchmarks.data.resize import imresize

SCALE = 4
CPU = torch.device("cpu")


@dataclass
class SmallSet:
    """Three random images of different sizes behind the interface of a data set."""

    name: str = "Small"
    broken: str = ""
    lacking: str = ""
    images: dict[str, Pair] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = np.random.default_rng(0)
        for name, height, width in [("b", 6, 9), ("a", 8, 7), ("c", 5, 5)]:
            hr = random.integers(0, 256, (SCALE * height, SCALE * width, 3), dtype=np.uint8)
            self.images[name] = Pair(name, hr, imresize(hr, 1 / SCALE), "imresize-symmetric")

    def hr_names(self) -> list[str]:
        return list(self.images)

    def missing(self, scale: int) -> list[str]:
        return [self.lacking] if self.lacking else []

    def pair(self, name: str, scale: int) -> Pair:
        if name == self.broken:
            raise DataError(f"{name}.png: damaged")
        return self.images[name]


class Network(nn.Module):
    """x4 by a convolution, noisy while training; `frozen` stays in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(3, 3 * SCALE**2, 3, padding=1), nn.Dropout(0.5))
        self.frozen = nn.BatchNorm2d(3 * SCALE**2)
        self.up = nn.PixelShuffle(SCALE)
        self.frozen.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(self.frozen(self.body(x)))


def lr_image(height: int = 6, width: int = 7) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
