"""RCAN: Residual Channel Attention Network, 10 groups of 20 blocks.

Zhang, Li, Li, Wang, Zhong, Fu: Image Super-Resolution Using Very Deep Residual Channel Attention Networks, ECCV 2018.
15,444,643 / 15,629,283 / 15,592,355 parameters at x2 / x3 / x4.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.edsr_baseline import WIDTH, ResidualNetwork
from models.info import Fixed, ModelInfo

GROUPS = 10
BLOCKS = 20  # per group
SQUEEZED = 4


class ChannelAttention(nn.Module):
    """Scales each channel by a gate computed from the means of all channels."""

    def __init__(self) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(WIDTH, SQUEEZED, 1)
        self.excite = nn.Conv2d(SQUEEZED, WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)  # (N, 64, 1, 1)
        return x * self.excite(F.relu(self.squeeze(mean))).sigmoid()


class Block(nn.Module):
    """Residual channel attention block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.conv2 = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.attention = ChannelAttention()

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.conv2(F.relu(self.conv1(x), inplace=True)))


class Group(nn.Module):
    """Blocks and a convolution, in a residual of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.conv = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(self.blocks(x))


class RCAN(ResidualNetwork):
    """10 residual groups."""

    def __init__(self, scale: int, config: Fixed) -> None:
        super().__init__(scale, nn.Sequential(*(Group() for _ in range(GROUPS))))


_PUBLISHED = {
    "blocks": "residual_group",
    "conv1": "rcab.0",
    "conv2": "rcab.2",
    "attention": "rcab.3.attention",
    "squeeze": "1",
    "excite": "3",
}


def published_names(model: RCAN) -> dict[str, str]:
    """Published name of every parameter, by our name."""
    return {
        name: ".".join(_PUBLISHED.get(part, part) for part in name.split(".")) for name, _ in model.named_parameters()
    }


INFO = ModelInfo(
    name="rcan",
    title="RCAN",
    paper="Image Super-Resolution Using Very Deep Residual Channel Attention Networks",
    venue="ECCV",
    year=2018,
    repository="https://github.com/yulunzhang/RCAN",
    licence="none stated",
    published_parameters={},
    counted_parameters={2: 15_444_643, 3: 15_629_283, 4: 15_592_355},
    smallest_input=1,
    training="DIV2K 1-800, LR patches of 48, batch 16, L1, Adam at 1e-4 halved every 200,000 steps",
    network=RCAN,
    published_names=published_names,
)
