"""ELAN-light: Efficient Long-Range Attention Network, light configuration.

Zhang, Zeng, Guo, Zhang: Efficient Long-Range Attention Network for Image Super-resolution, ECCV 2022.
582,012 / 590,127 / 601,488 parameters at x2 / x3 / x4 (the publication stores its mean shifts and the kernels of
its pixel shifts beside them; they never change).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.info import ModelInfo
from models.layers import MEAN, mirrored_to, require_size, without_autocast

CHANNELS, HIDDEN, BLOCKS = 60, 120, 12
WINDOWS = (4, 8, 16)
WIDTH = CHANNELS // len(WINDOWS)  # channels of one window size, and its query's width
MULTIPLE = 16  # what height and width are padded to: least common multiple of the windows
SMALLEST_INPUT = 9  # reflection needs more pixels than it adds


def shift(x: Tensor) -> Tensor:
    """A fifth of the channels each one pixel to the left, right, up and down; the rest stays. Zeros move in.

    The publication convolves with kernels that hold a single 1; moving pixels gives the same numbers without products.
    """
    fifth = x.shape[1] // 5
    left, right, up, down, rest = x.split([fifth] * 4 + [x.shape[1] - 4 * fifth], dim=1)
    moved = (
        F.pad(left[..., 1:], (0, 1)),
        F.pad(right[..., :-1], (1, 0)),
        F.pad(up[..., 1:, :], (0, 0, 0, 1)),
        F.pad(down[..., :-1, :], (0, 0, 1, 0)),
    )
    return torch.cat([*moved, rest], dim=1)


class LocalFeatures(nn.Module):
    """Two 1x1 convolutions, each after a shift, which gives them the receptive field of a 3x3 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(CHANNELS, HIDDEN, 1)
        self.reduce = nn.Conv2d(HIDDEN, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 60, H, W) -> the same shape."""
        return self.reduce(shift(F.relu(self.expand(shift(x)), inplace=True)))


class Projections(nn.Module):
    """The 1x1 convolutions around a window attention."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.input = nn.Sequential(nn.Conv2d(CHANNELS, inner, 1), nn.BatchNorm2d(inner))
        self.output = nn.Conv2d(CHANNELS, CHANNELS, 1)


class Block(nn.Module):
    """Two rounds of local features and window attention; the second round uses the attention weights of the first.

    Sharing the attention, and one projection as both query and key, is what makes windows of 16 affordable. Logits
    are neither scaled nor given a position. In every other block the windows are moved by half their size; they
    wrap around the border, without a mask.
    """

    def __init__(self, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.local = nn.ModuleList(LocalFeatures() for _ in range(2))
        self.attention = Projections(2 * CHANNELS)  # query and value of each window size
        self.shared_attention = Projections(CHANNELS)  # value only

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 60, H, W), H and W multiples of 16 -> the same shape."""
        x = x + self.local[0](x)
        parts = self.attention.input(x).split(WIDTH, dim=1)  # query, value of window 4, of 8, of 16
        attended = [attend(self.windows(query, size)) for query, size in zip(parts[::2], WINDOWS, strict=True)]
        x = x + self.attention.output(self.mix(attended, parts[1::2]))
        x = x + self.local[1](x)
        values = self.shared_attention.input(x).split(WIDTH, dim=1)
        return x + self.shared_attention.output(self.mix(attended, values))

    def mix(self, attended: list[Tensor], values: tuple[Tensor, ...]) -> Tensor:
        """Attention of each window size times its values (B, 20, H, W) -> (B, 60, H, W)."""
        mixed = [
            self.merge(weights.to(value.dtype) @ self.windows(value, size), size)
            for weights, value, size in zip(attended, values, WINDOWS, strict=True)
        ]
        return torch.cat(mixed, dim=1)

    def windows(self, x: Tensor, size: int) -> Tensor:
        """(B, C, H, W) -> (B, H/size, W/size, size², C)."""
        if self.shifted:
            x = x.roll((-size // 2, -size // 2), (2, 3))
        x = x.unflatten(3, (-1, size)).unflatten(2, (-1, size))  # (B, C, H/size, size, W/size, size)
        return x.permute(0, 2, 4, 3, 5, 1).flatten(3, 4)

    def merge(self, x: Tensor, size: int) -> Tensor:
        """The inverse of `windows`."""
        x = x.unflatten(3, (size, size)).permute(0, 5, 1, 3, 2, 4)  # (B, C, H/size, size, W/size, size)
        x = x.flatten(4, 5).flatten(2, 3)
        return x.roll((size // 2, size // 2), (2, 3)) if self.shifted else x


def attend(query: Tensor) -> Tensor:
    """softmax(query queryᵀ): (..., L, D) -> (..., L, L). float32 at least: the logits of a half would overflow."""
    with without_autocast(query.device):
        query = query if query.dtype == torch.float64 else query.float()
        return (query @ query.transpose(-1, -2)).softmax(-1)


class ELAN(nn.Module):
    """RGB in [0, 1], (B, 3, H, W) -> (B, 3, scale·H, scale·W), not clamped. Inside, values are 0 to 255.

    Raises ValueError where H or W is below 9.
    """

    mean: Tensor

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("mean", 255 * torch.tensor(MEAN)[:, None, None], persistent=False)
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.blocks = nn.ModuleList(Block(shifted=i % 2 == 1) for i in range(BLOCKS))
        self.tail = nn.Sequential(nn.Conv2d(CHANNELS, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x: Tensor) -> Tensor:
        height, width = require_size(x, SMALLEST_INPUT, "ELAN-light")
        padded = mirrored_to(x, MULTIPLE)
        shallow = self.head(255 * padded - self.mean)  # (B, 60, H', W')
        features = shallow
        for block in self.blocks:
            features = block(features)
        image = (self.tail(features + shallow) + self.mean) / 255
        return image[..., : self.scale * height, : self.scale * width]


_PUBLISHED = {
    "head.": "head.0.",
    "blocks.": "body.",
    ".local.": ".modules_lfe.lfe_",
    ".expand.": ".conv0.shift_conv.conv1x1.",
    ".reduce.": ".conv1.shift_conv.conv1x1.",
    ".attention.": ".modules_gmsa.gmsa_0.",
    ".shared_attention.": ".modules_gmsa.gmsa_1.",
    ".input.": ".project_inp.",
    ".output.": ".project_out.",
}


def published_names(model: ELAN) -> dict[str, str]:
    """Published name of every parameter and running statistic, by our name."""
    names = {}
    for name in model.state_dict():
        published = name
        for ours, theirs in _PUBLISHED.items():
            published = published.replace(ours, theirs)
        names[name] = published
    return names


INFO = ModelInfo(
    name="elan_light",
    title="ELAN-light",
    paper="Efficient Long-Range Attention Network for Image Super-resolution",
    venue="ECCV",
    year=2022,
    repository="https://github.com/xindongzhang/ELAN",
    licence="Apache-2.0",
    published_parameters={2: 582_000, 3: 590_000, 4: 601_000},
    counted_parameters={2: 582_012, 3: 590_127, 4: 601_488},
    smallest_input=SMALLEST_INPUT,
    training="DIV2K 1-800, LR patches of 64 at x4, batch 64, 1000 epochs of 1000 iterations, L1, Adam at 2e-4 halved "
    "at epochs 250, 400, 450, 475 and 500; no weights are published",
    network=lambda scale, _config: ELAN(scale),
    published_names=published_names,
    published_buffers=(r"(sub|add)_mean\.(weight|bias)", r"body\.\d+\.modules_lfe\.lfe_\d\.conv\d\.shift_conv\.weight"),
)
