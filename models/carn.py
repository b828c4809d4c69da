"""CARN and CARN-M: Cascading Residual Networks.

Ahn, Kang, Sohn: Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network, ECCV 2018.
CARN 1,591,963 and CARN-M 414,811 parameters at every scale: the published networks own the upsamplers of x2, x3 and
x4 together. With its own upsampler only, CARN has 964,187 / 1,148,827 / 1,111,899 at x2 / x3 / x4 (`carn_single`).
All counts include 24 frozen values, the mean shifts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo
from models.layers import FACTORS, MeanShift

WIDTH = 64
STEPS = 3  # of every cascade


class ResidualUnit(nn.Module):
    """Two 3x3 convolutions and their input. With groups, CARN-M's efficient unit: a 1x1 convolution mixes them."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=groups),
        )
        if groups > 1:
            self.body.extend([nn.ReLU(inplace=True), nn.Conv2d(WIDTH, WIDTH, 1)])

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + x, inplace=True)


class Cascade(nn.Module):
    """Three units, each followed by a fusion of the cascade's input and the outputs of all units so far.

    A block is a cascade of residual units, and the network a cascade of blocks. A single unit serves all three
    steps, each with its own fusion: this is how CARN-M shares parameters.
    """

    def __init__(self, units: Sequence[nn.Module]) -> None:
        super().__init__()
        self.units = nn.ModuleList(units)
        self.fusions = nn.ModuleList(nn.Conv2d((step + 2) * WIDTH, WIDTH, 1) for step in range(STEPS))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 64, H, W) -> (N, 64, H, W)."""
        seen = [x]
        for step, fusion in enumerate(self.fusions):
            seen.append(self.units[step % len(self.units)](x))
            x = F.relu(fusion(torch.cat(seen, dim=1)), inplace=True)  # of 128, then 192, then 256 channels
        return x


class Upsampler(nn.Sequential):
    """Convolution, ReLU and pixel shuffle: once at x2 and x3, twice at x4."""

    def __init__(self, scale: int, groups: int) -> None:
        layers: list[nn.Module] = []
        for step in FACTORS[scale]:
            layers += [
                nn.Conv2d(WIDTH, WIDTH * step**2, 3, padding=1, groups=groups),
                nn.ReLU(inplace=True),
                nn.PixelShuffle(step),
            ]
        super().__init__(*layers)


class CARN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped. CARN-M with `groups` above 1.

    The network owns the upsamplers of `scales`; those that `scale` does not use are frozen.
    """

    def __init__(self, scale: int, groups: int = 1, scales: Sequence[int] = (2, 3, 4)) -> None:
        super().__init__()
        self.scale = scale
        units = STEPS if groups == 1 else 1
        self.sub_mean = MeanShift(-1, 1, frozen=True)
        self.entry = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.cascade = Cascade([Cascade([ResidualUnit(groups) for _ in range(units)]) for _ in range(STEPS)])
        self.upsamplers = nn.ModuleDict({str(each): Upsampler(each, groups) for each in scales})
        self.exit = nn.Conv2d(WIDTH, 3, 3, padding=1)
        self.add_mean = MeanShift(1, 1, frozen=True)
        self.upsamplers.requires_grad_(False)
        self.upsamplers[str(scale)].requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        features = self.cascade(self.entry(self.sub_mean(x)))  # (N, 64, H, W)
        return self.add_mean(self.exit(self.upsamplers[str(self.scale)](features)))


def published_names(model: CARN) -> dict[str, str]:
    """Published name of every parameter, by our name. The upsampler of a network for one scale has no number."""
    upsampler = r"upsample.up.body." if len(model.upsamplers) == 1 else r"upsample.up\1.body."

    def published(name: str) -> str:
        name = re.sub(r"(sub|add)_mean", r"\1_mean.shifter", name).removeprefix("cascade.")
        name = re.sub(r"units\.(\d)", lambda unit: f"b{int(unit[1]) + 1}", name)
        name = re.sub(r"fusions\.(\d)", lambda fusion: f"c{int(fusion[1]) + 1}.body.0", name)
        return re.sub(r"upsamplers\.(\d)\.", upsampler, name)

    return {name: published(name) for name, _ in model.named_parameters()}


def _carn(scale: int, config: Fixed) -> CARN:
    return CARN(scale)


def _carn_m(scale: int, config: Fixed) -> CARN:
    return CARN(scale, groups=4)


def _carn_single(scale: int, config: Fixed) -> CARN:
    return CARN(scale, scales=(scale,))


INFO = ModelInfo(
    name="carn",
    title="CARN",
    paper="Fast, Accurate, and Lightweight Super-Resolution with Cascading Residual Network",
    venue="ECCV",
    year=2018,
    repository="https://github.com/nmhkahn/CARN-pytorch",
    licence="MIT",
    published_parameters={2: 1_592_000, 3: 1_592_000, 4: 1_592_000},
    counted_parameters={2: 1_591_963, 3: 1_591_963, 4: 1_591_963},
    smallest_input=1,
    training="DIV2K 1-800, LR patches of 64, batch 64, one scale drawn per step, 600,000 steps, L1, Adam at 1e-4 "
    "halved every 400,000 steps, gradient norm clipped to 10",
    network=_carn,
    published_names=published_names,
)

CARN_M = replace(
    INFO,
    name="carn_m",
    title="CARN-M",
    published_parameters={2: 412_000, 3: 412_000, 4: 412_000},
    counted_parameters={2: 414_811, 3: 414_811, 4: 414_811},
    parameters_note="412K fits the 412,050 weights of the convolutions without their biases",
    network=_carn_m,
)

CARN_SINGLE = replace(
    INFO,
    name="carn_single",
    title="CARN (single scale)",
    published_parameters={},
    counted_parameters={2: 964_187, 3: 1_148_827, 4: 1_111_899},
    training="none is published for a single scale; the multi-scale network's is that of carn",
    network=_carn_single,
)
