"""LatticeNet: residual branches of a lattice, recombined with learned coefficients.

Luo, Xie, Zhang, Qu, Li, Fu: LatticeNet: Towards Lightweight Image Super-resolution with Lattice Block, ECCV 2020.
756,196 / 764,851 / 776,968 parameters at x2 / x3 / x4. With x8 self-ensemble it is called LatticeNet+;
LatticeNet-CL (IEEE TPAMI 2023) is the same network, trained with one more loss.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo
from models.layers import MeanShift, require_size

WIDTH = 64
BLOCKS = 4


def branch() -> nn.Module:
    """Three activated convolutions (N, 64, H, W) -> (N, 64, H, W), one of the two filters of a lattice."""
    inner = 48
    return nn.Sequential(
        nn.Conv2d(WIDTH, inner, 3, padding=1),
        nn.LeakyReLU(0.05, inplace=True),
        nn.Conv2d(inner, inner, 3, padding=1),
        nn.LeakyReLU(0.05, inplace=True),
        nn.Conv2d(inner, WIDTH, 3, padding=1),
        nn.LeakyReLU(0.05, inplace=True),
    )


def gate() -> nn.Module:
    """(N, 64, 1, 1) -> (N, 64, 1, 1) in (0, 1)."""
    inner = WIDTH // 16
    return nn.Sequential(nn.Conv2d(WIDTH, inner, 1), nn.ReLU(), nn.Conv2d(inner, WIDTH, 1), nn.Sigmoid())


class Coefficient(nn.Module):
    """Combination coefficient of every channel, from its mean and its standard deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.of_mean = gate()
        self.of_deviation = gate()

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, H, W) -> (N, C, 1, 1)."""
        mean = x.mean((2, 3), keepdim=True)
        # The unbiased standard deviation as a norm: faster on a CPU than torch.std, and finite in its gradient.
        freedom = x.shape[2] * x.shape[3] - 1
        deviation = torch.linalg.vector_norm(x - mean, dim=(2, 3), keepdim=True) / freedom**0.5
        return (self.of_mean(mean) + self.of_deviation(deviation)) / 2


class LatticeBlock(nn.Module):
    """Two butterflies in sequence: each adds its two signals crosswise, weighted by coefficients of the other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = branch(), branch()
        self.first_to_input, self.input_to_first = Coefficient(), Coefficient()
        self.lower_to_second, self.second_to_lower = Coefficient(), Coefficient()
        self.compress = nn.Conv2d(2 * WIDTH, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 64, H, W) -> (N, 64, H, W)."""
        first = self.first(x)
        upper = torch.addcmul(x, self.first_to_input(first), first)
        lower = torch.addcmul(first, self.input_to_first(x), x)
        second = self.second(upper)
        upper = torch.addcmul(second, self.lower_to_second(lower), lower)
        lower = torch.addcmul(lower, self.second_to_lower(second), second)
        return self.compress(torch.cat([upper, lower], dim=1))


class LatticeNet(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped.

    Raises ValueError for a side of one pixel: the unbiased standard deviation needs two.
    """

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.sub_mean = MeanShift(-1, 255, frozen=False)
        self.first_conv = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.second_conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.blocks = nn.ModuleList(LatticeBlock() for _ in range(BLOCKS))
        # Backward fusion: every step halves the channels of the later blocks' result and of an earlier block's output.
        self.later = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH // 2, 1) for _ in range(BLOCKS - 1))
        self.earlier = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH // 2, 1) for _ in range(BLOCKS - 1))
        self.upsampler = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1),
            nn.Conv2d(WIDTH, 3 * scale**2, 3, padding=1),
            nn.PixelShuffle(scale),
        )
        self.add_mean = MeanShift(1, 255, frozen=False)

    def forward(self, x: Tensor) -> Tensor:
        require_size(x, INFO.smallest_input, INFO.title)
        entry = self.second_conv(self.first_conv(self.sub_mean(255 * x)))  # (N, 64, H, W)
        outputs = [entry]
        for block in self.blocks:
            outputs.append(block(outputs[-1]))
        fused = outputs.pop()
        for later, earlier in zip(self.later, self.earlier, strict=True):
            fused = F.relu(torch.cat([later(fused), earlier(outputs.pop())], dim=1), inplace=True)
        return self.add_mean(self.upsampler(fused + entry)) / 255


_RULES = {
    r"first_conv": "conv1",
    r"second_conv": "conv2",
    r"first_to_input": "fea_ca1",
    r"input_to_first": "x_ca1",
    r"lower_to_second": "fea_ca2",
    r"second_to_lower": "x_ca2",
    r"first\.": "conv_block0.",
    r"second\.": "conv_block1.",
    r"of_mean": "conv_mean",
    r"of_deviation": "conv_std",
    r"upsampler": "tail",
}


def published_names(model: LatticeNet) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    return {name: _published(name) for name, _ in model.named_parameters()}


def _published(name: str) -> str:
    for rule, replacement in _RULES.items():
        name = re.sub(rule, replacement, name)
    name = re.sub(r"blocks\.(\d)", lambda block: f"body_unit{int(block[1]) + 1}", name)
    name = re.sub(r"later\.(\d)", lambda step: f"T_tdm{int(step[1]) + 1}.0", name)
    return re.sub(r"earlier\.(\d)", lambda step: f"L_tdm{int(step[1]) + 1}.0", name)


INFO = ModelInfo(
    name="latticenet",
    title="LatticeNet",
    paper="LatticeNet: Towards Lightweight Image Super-resolution with Lattice Block",
    venue="ECCV",
    year=2020,
    repository="https://github.com/ymff0592/super-resolution",
    licence="none stated",
    published_parameters={2: 756_000, 3: 765_000, 4: 777_000},
    counted_parameters={2: 756_196, 3: 764_851, 4: 776_968},
    smallest_input=2,
    training="DIV2K 1-800, HR patches of 192 at x4, batch 16, epochs of 1000 iterations, L1, Adam at 2e-4 halved every "
    "200 epochs; the number of epochs is not published",
    network=LatticeNet,
    published_names=published_names,
)
