"""RFDN: Residual Feature Distillation Network, and its challenge variant.

Liu, Tang, Wu: Residual Feature Distillation Network for Lightweight Image Super-Resolution, ECCV 2020 Workshops
(AIM 2020). RFDN has 534,036 / 540,531 / 549,624 parameters at x2 / x3 / x4; the challenge variant, which is the only
one published as code, has 433,448 at x4. RFDN itself is a reconstruction that agrees with the published counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo
from models.layers import ContrastAwareAttention, require_size

SLOPE = 0.05  # of every LeakyReLU


class EnhancedSpatialAttention(nn.Module):
    """Gate of every pixel and channel, from features at about a sixth of the resolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = channels // 4
        self.reduce = nn.Conv2d(channels, width, 1)
        self.skip = nn.Conv2d(width, width, 1)
        self.stride = nn.Conv2d(width, width, 3, stride=2)
        self.pooled = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(3))
        self.expand = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, H, W); H and W at least 15, which leaves one pixel after the pooling."""
        reduced = self.reduce(x)
        pooled = F.max_pool2d(self.stride(reduced), 7, stride=3)  # (N, C/4, about H/6, about W/6)
        first, second, third = self.pooled
        pooled = third(F.relu(second(F.relu(first(pooled)))))
        pooled = F.interpolate(pooled, x.shape[-2:], mode="bilinear", align_corners=False)
        return x * self.expand(pooled + self.skip(reduced)).sigmoid()


class Block(nn.Module):
    """RFDB: three times, half the width is distilled and the full width refined; then all results are fused."""

    def __init__(self, channels: int, attention: Callable[[int], nn.Module], residual: bool) -> None:
        super().__init__()
        self.residual = residual
        half = channels // 2
        self.distil = nn.ModuleList(nn.Conv2d(channels, half, 1) for _ in range(3))
        self.refine = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(channels, half, 3, padding=1)
        self.fuse = nn.Conv2d(4 * half, channels, 1)
        self.attention = attention(channels)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, H, W)."""
        refined, distilled = x, []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            distilled.append(F.leaky_relu(distil(refined), SLOPE, inplace=True))
            refined = F.leaky_relu(refine(refined) + refined, SLOPE, inplace=True)
        distilled.append(F.leaky_relu(self.last(refined), SLOPE, inplace=True))
        fused = self.attention(self.fuse(torch.cat(distilled, 1)))
        return fused + x if self.residual else fused


class RFDN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped."""

    def __init__(
        self,
        scale: int,
        channels: int = 48,
        blocks: int = 6,
        attention: Callable[[int], nn.Module] = lambda channels: ContrastAwareAttention(channels, reduction=4),
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.first_conv = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(Block(channels, attention, residual) for _ in range(blocks))
        self.fuse = nn.Conv2d(blocks * channels, channels, 1)
        self.last_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(channels, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        features = [self.first_conv(x)]  # each (N, C, H, W)
        for block in self.blocks:
            features.append(block(features[-1]))
        fused = F.leaky_relu(self.fuse(torch.cat(features[1:], 1)), SLOPE, inplace=True)
        return self.upsampler(self.last_conv(fused) + features[0])


class ChallengeRFDN(RFDN):
    """The winner of the AIM 2020 challenge: wider, with fewer blocks, spatial attention and no residual in a block.

    Raises ValueError for a side of less than 15 pixels.
    """

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__(scale, channels=50, blocks=4, attention=EnhancedSpatialAttention, residual=False)

    def forward(self, x: Tensor) -> Tensor:
        require_size(x, RFDN_AIM.smallest_input, RFDN_AIM.title)
        return super().forward(255 * x) / 255  # published for values of 0..255


_PUBLISHED = {
    "distil.0": "c1_d",
    "distil.1": "c2_d",
    "distil.2": "c3_d",
    "refine.0": "c1_r",
    "refine.1": "c2_r",
    "refine.2": "c3_r",
    "last": "c4",
    "fuse": "c5",
    "attention.squeeze": "cca.conv_du.0",
    "attention.excite": "cca.conv_du.2",
    "attention.reduce": "esa.conv1",
    "attention.stride": "esa.conv2",
    "attention.pooled.0": "esa.conv_max",
    "attention.pooled.1": "esa.conv3",
    "attention.pooled.2": "esa.conv3_",
    "attention.skip": "esa.conv_f",
    "attention.expand": "esa.conv4",
}


def published_names(model: RFDN) -> dict[str, str]:
    """Published name of every parameter, by our name; those of RFDN's attention follow IMDN's."""
    return {name: _published(name) for name, _ in model.named_parameters()}


def _published(name: str) -> str:
    module, _, kind = name.rpartition(".")
    if inner := re.fullmatch(r"blocks\.(\d)\.(.+)", module):
        return f"B{int(inner[1]) + 1}.{_PUBLISHED[inner[2]]}.{kind}"
    outer = {"first_conv": "fea_conv", "fuse": "c.0", "last_conv": "LR_conv"}
    return f"{outer.get(module, module)}.{kind}"


def _rfdn(scale: int, config: Fixed) -> RFDN:
    return RFDN(scale)


INFO = ModelInfo(
    name="rfdn",
    title="RFDN",
    paper="Residual Feature Distillation Network for Lightweight Image Super-Resolution",
    venue="ECCV Workshops",
    year=2020,
    repository="https://github.com/njulj/RFDN",
    licence="MIT",
    published_parameters={2: 534_000, 3: 541_000, 4: 550_000},
    counted_parameters={2: 534_036, 3: 540_531, 4: 549_624},
    smallest_input=1,
    training="no training code, and no weights of this network, are published; its code refers to EDSR's framework",
    network=_rfdn,
    published_names=published_names,
)

RFDN_AIM = replace(
    INFO,
    name="rfdn_aim",
    title="RFDN (AIM 2020)",
    published_parameters={},
    counted_parameters={4: 433_448},
    smallest_input=15,
    training="no training code is published; its code refers to EDSR's framework",
    network=ChallengeRFDN,
    scales=(4,),
)
