"""IMDN: Information Multi-distillation Network.

Hui, Gao, Yang, Wang: Lightweight Image Super-Resolution with Information Multi-distillation Network, ACM MM 2019.
694,404 / 703,059 / 715,176 parameters at x2 / x3 / x4.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo
from models.layers import ContrastAwareAttention

WIDTH = 64
DISTILLED = 16
REMAINING = WIDTH - DISTILLED
SLOPE = 0.05  # of every LeakyReLU
BLOCKS = 6


class Block(nn.Module):
    """Information multi-distillation block: each of three steps keeps 16 channels and refines 48."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.ModuleList(nn.Conv2d(width, WIDTH, 3, padding=1) for width in (WIDTH, REMAINING, REMAINING))
        self.last = nn.Conv2d(REMAINING, DISTILLED, 3, padding=1)
        self.attention = ContrastAwareAttention(WIDTH, reduction=16)
        self.fuse = nn.Conv2d(WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 64, H, W) -> (N, 64, H, W)."""
        kept, remaining = [], x
        for step in self.steps:
            part, remaining = F.leaky_relu(step(remaining), SLOPE, inplace=True).split([DISTILLED, REMAINING], dim=1)
            kept.append(part)
        kept.append(self.last(remaining))
        return x + self.fuse(self.attention(torch.cat(kept, dim=1)))


class IMDN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped."""

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.first_conv = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(Block() for _ in range(BLOCKS))
        self.fuse = nn.Conv2d(BLOCKS * WIDTH, WIDTH, 1)
        self.last_conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(WIDTH, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        first = features = self.first_conv(x)  # (N, 64, H, W)
        outputs = []
        for block in self.blocks:
            features = block(features)
            outputs.append(features)
        fused = F.leaky_relu(self.fuse(torch.cat(outputs, dim=1)), SLOPE, inplace=True)
        return self.upsampler(self.last_conv(fused) + first)


_PUBLISHED = {
    "steps.0": "c1",
    "steps.1": "c2",
    "steps.2": "c3",
    "last": "c4",
    "fuse": "c5",
    "attention.squeeze": "cca.conv_du.0",
    "attention.excite": "cca.conv_du.2",
}


def published_names(model: IMDN) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    return {name: _published(name) for name, _ in model.named_parameters()}


def _published(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if inner := re.fullmatch(r"blocks\.(\d)\.(.+)", module):
        return f"IMDB{int(inner[1]) + 1}.{_PUBLISHED[inner[2]]}.{kind}"
    outer = {"first_conv": "fea_conv", "fuse": "c.0", "last_conv": "LR_conv"}
    return f"{outer.get(module, module)}.{kind}"


INFO = ModelInfo(
    name="imdn",
    title="IMDN",
    paper="Lightweight Image Super-Resolution with Information Multi-distillation Network",
    venue="ACM MM",
    year=2019,
    repository="https://github.com/Zheng222/IMDN",
    licence="none stated",
    published_parameters={2: 694_000, 3: 703_000, 4: 715_000},
    counted_parameters={2: 694_404, 3: 703_059, 4: 715_176},
    smallest_input=1,
    training="DIV2K 1-800, LR patches of 96 / 64 / 48 at x2 / x3 / x4, batch 16, 1000 epochs of 1000 iterations, L1, "
    "Adam at 2e-4 halved every 200 epochs; the published training commands start from published weights",
    network=IMDN,
    published_names=published_names,
)
