"""AWSRN-M: Adaptive Weighted Super-Resolution Network with three local fusion blocks.

Wang, Li, Shi: Lightweight Image Super-Resolution with Adaptive Weighted Learning Network, arXiv 1904.02358, 2019.
1,063,742 / 1,143,017 / 1,254,002 parameters at x2 / x3 / x4, counting direction and magnitude of every
weight-normalised convolution and all learned scalars.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from models.info import Fixed, ModelInfo
from models.layers import MEAN

WIDTH = 32
EXPANDED = 128
BLOCKS = 3
UNITS = 4  # in a block
KERNELS = (3, 5, 7, 9)  # of the reconstruction


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Module:
    """A weight-normalised convolution: w = g v / ‖v‖, with one norm and one g per output channel."""
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2))


class WeightedSum(nn.Module):
    """A residual connection with learned weights: branch_weight · branch + input_weight · input."""

    def __init__(self) -> None:
        super().__init__()
        self.branch_weight = nn.Parameter(torch.ones(1))
        self.input_weight = nn.Parameter(torch.ones(1))

    def forward(self, branch: Tensor, x: Tensor) -> Tensor:
        return self.branch_weight * branch + self.input_weight * x


class Unit(nn.Module):
    """Adaptive weighted residual unit (AWRU): two convolutions with a wide middle."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = conv(WIDTH, EXPANDED)
        self.reduce = conv(EXPANDED, WIDTH)
        self.sum = WeightedSum()

    def forward(self, x: Tensor) -> Tensor:
        return self.sum(self.reduce(F.relu(self.expand(x), inplace=True)), x)


class Block(nn.Module):
    """Local fusion block (LFB): units in sequence whose outputs are all fused."""

    def __init__(self, unit: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.units = nn.ModuleList(unit() for _ in range(UNITS))
        self.reduction = conv(UNITS * WIDTH, WIDTH)
        self.sum = WeightedSum()

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 32, H, W) -> (N, 32, H, W)."""
        features, outputs = x, []
        for unit in self.units:
            features = unit(features)
            outputs.append(features)
        return self.sum(self.reduction(torch.cat(outputs, dim=1)), x)


class Branch(nn.Module):
    """One kernel size of the adaptive weighted multi-scale reconstruction (AWMS): weight · convolution."""

    def __init__(self, scale: int, kernel: int) -> None:
        super().__init__()
        self.conv = conv(WIDTH, 3 * scale**2, kernel)
        self.weight = nn.Parameter(torch.full((1,), 1 / len(KERNELS)))

    def forward(self, x: Tensor) -> Tensor:
        """x (N, 32, H, W) -> (N, 3·scale², H, W)."""
        return self.weight * self.conv(x)


class AWSRN(nn.Module):
    """RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped."""

    mean: Tensor

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.skip = conv(3, 3 * scale**2)
        self.head = conv(3, WIDTH)
        self.blocks = nn.Sequential(*(Block(Unit) for _ in range(BLOCKS)))
        self.branches = nn.ModuleDict({str(kernel): Branch(scale, kernel) for kernel in KERNELS})
        self.shuffle = nn.PixelShuffle(scale)

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * (x - self.mean)  # published for the range 255: (x - 255 mean) / 127.5
        features = self.blocks(self.head(x))  # (N, 32, H, W)
        image = self.skip(x)  # (N, 3·scale², H, W)
        for branch in self.branches.values():
            image = image + branch(features)
        # One pixel shuffle of the sum instead of one for the skip and each branch: a shuffle only moves elements.
        return self.shuffle(image) / 2 + self.mean


def published_names(model: AWSRN) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    return {name: _published(name) for name, _ in model.named_parameters()}


_RULES = {
    r"parametrizations\.weight\.original0": "weight_g",
    r"parametrizations\.weight\.original1": "weight_v",
    r"sum\.branch_weight": "res_scale.scale",
    r"sum\.input_weight": "x_scale.scale",
    r"branches\.(\d)\.conv": r"tail.tail_k\1",
    r"branches\.(\d)\.weight": r"tail.scale_k\1.scale",
    r"(head|skip)\.": r"\1.0.",
    r"blocks\.": "body.",
    r"units\.(\d)": r"b\1",
    r"expand\.": "body.0.",
    r"reduce\.": "body.2.",
}


def _published(name: str) -> str:
    for rule, replacement in _RULES.items():
        name = re.sub(rule, replacement, name)
    return name


INFO = ModelInfo(
    name="awsrn_m",
    title="AWSRN-M",
    paper="Lightweight Image Super-Resolution with Adaptive Weighted Learning Network",
    venue="arXiv",
    year=2019,
    repository="https://github.com/ChaofWang/AWSRN",
    licence="MIT",
    published_parameters={2: 1_063_000, 3: 1_143_000, 4: 1_254_000},
    counted_parameters={2: 1_063_742, 3: 1_143_017, 4: 1_254_002},
    smallest_input=1,
    training="DIV2K 1-800, LR patches of 48, batch 16, 1000 epochs of 1000 iterations, L1, Adam at 1e-3 halved every "
    "200 epochs; no weights are published in the repository",
    network=AWSRN,
    published_names=published_names,
    parameters_note="1063K is 1,063,742 cut off, not rounded",
)
