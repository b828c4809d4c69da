"""EDSR-baseline: Enhanced Deep Super-Resolution network, 16 blocks of 64 channels.

Lim, Son, Kim, Nah, Lee: Enhanced Deep Residual Networks for Single Image Super-Resolution, CVPR Workshops (NTIRE) 2017.
1,369,859 / 1,554,499 / 1,517,571 parameters at x2 / x3 / x4. The large EDSR is another network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import Fixed, ModelInfo, same_names
from models.layers import FACTORS, MEAN

WIDTH = 64
BLOCKS = 16


class Block(nn.Module):
    """Residual block without normalisation and without an activation after the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(F.relu(self.conv1(x), inplace=True))


class Upsampler(nn.Sequential):
    """Convolution and pixel shuffle: once at x2 and x3, twice at x4."""

    def __init__(self, scale: int) -> None:
        layers: list[nn.Module] = []
        for step in FACTORS[scale]:
            layers += [nn.Conv2d(WIDTH, WIDTH * step**2, 3, padding=1), nn.PixelShuffle(step)]
        super().__init__(*layers)


class ResidualNetwork(nn.Module):
    """What EDSR and RCAN share, all but the body: (N, 64, H, W) -> (N, 64, H, W), in a long residual.

    RGB in [0, 1], (N, 3, H, W) -> (N, 3, scale·H, scale·W), not clamped. Inside, pixels are in [0, 255].
    """

    mean: Tensor

    def __init__(self, scale: int, body: nn.Module) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.conv_first = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.body = body
        self.conv_after_body = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.upsample = Upsampler(scale)
        self.conv_last = nn.Conv2d(WIDTH, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.conv_first((x - self.mean) * 255)
        features = first + self.conv_after_body(self.body(first))
        return self.conv_last(self.upsample(features)) / 255 + self.mean


class EDSRBaseline(ResidualNetwork):
    """16 residual blocks."""

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__(scale, nn.Sequential(*(Block() for _ in range(BLOCKS))))


INFO = ModelInfo(
    name="edsr_baseline",
    title="EDSR-baseline",
    paper="Enhanced Deep Residual Networks for Single Image Super-Resolution",
    venue="CVPRW",
    year=2017,
    repository="https://github.com/sanghyun-son/EDSR-PyTorch",
    licence="MIT",
    published_parameters={2: 1_370_000, 3: 1_555_000, 4: 1_518_000},
    counted_parameters={2: 1_369_859, 3: 1_554_499, 4: 1_517_571},
    parameters_note="1555K at x3 is 1,554,499 rounded up",
    smallest_input=1,
    training="DIV2K 1-800, LR patches of 48, batch 16, 300,000 steps, L1, Adam at 1e-4 halved every 200,000; x3 and x4 "
    "start from x2",
    network=EDSRBaseline,
    published_names=same_names,
)
