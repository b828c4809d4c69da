"""Upsampling by sub-pixel convolution (Shi et al., CVPR 2016), the end of SPIN and HPINet-M."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.layers import FACTORS

STRIP = 2**21  # most elements in the widest map of a strip: 8 MiB in float32, which stay in a CPU's cache
SLOPE = 0.1  # of the LeakyReLU


class Stage(NamedTuple):
    """A 3x3 convolution; if `factor` is not 1, a shuffle of `factor`² channels to a square of pixels and LeakyReLU."""

    conv: nn.Conv2d
    factor: int

    def apply(self, x: Tensor, rows_padded: int) -> Tensor:
        """(B, C, H, W) -> (B, C', factor·(H - 2 + 2·rows_padded), factor·W); padding is zeros, always 1 in width."""
        conv, factor, padding = self.conv, self.factor, (rows_padded, 1)
        if factor == 1:
            return cast(Tensor, conv(x)) if rows_padded == 1 else F.conv2d(x, conv.weight, conv.bias, padding=padding)
        weight, bias = self.by_place()
        wide = F.leaky_relu(F.conv2d(x, weight, bias, padding=padding), SLOPE, inplace=True)  # (B, factor²·C', H, W)
        squares = wide.permute(0, 2, 3, 1).unflatten(3, (factor, factor, -1))  # (B, H, W, y, x, C')
        return squares.transpose(2, 3).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)

    def by_place(self) -> tuple[Tensor, Tensor]:
        """Weight and bias with output channels in the order (y, x, C'), so that the pixel shuffle moves runs of C'."""
        assert self.conv.bias is not None
        weight, bias = (
            part.unflatten(0, (-1, self.factor**2)).transpose(0, 1).flatten(0, 1)
            for part in (self.conv.weight, self.conv.bias)
        )
        return weight, bias


Apply = Callable[[Stage, Tensor, int], Tensor]  # computes a stage, as `Stage.apply` does


class Upsampler(nn.Sequential):
    """Convolution, pixel shuffle and LeakyReLU: once at x2 and x3, twice at x4."""

    def __init__(self, channels: int, scale: int) -> None:
        self.factors = FACTORS[scale]
        layers: list[nn.Module] = []
        for factor in self.factors:
            conv = nn.Conv2d(channels, channels * factor**2, 3, padding=1)
            layers += [conv, nn.PixelShuffle(factor), nn.LeakyReLU(SLOPE, inplace=True)]
        super().__init__(*layers)

    def forward(self, x: Tensor, apply: Apply = Stage.apply) -> Tensor:
        """(B, C, H, W) -> (B, C, scale·H, scale·W), by `apply`, stage after stage."""
        for stage in self.stages():
            x = apply(stage, x, 1)
        return x

    def stages(self) -> list[Stage]:
        convs = [layer for layer in self if isinstance(layer, nn.Conv2d)]
        return [Stage(conv, factor) for conv, factor in zip(convs, self.factors, strict=True)]


def upsample(x: Tensor, upsampler: Upsampler, last_conv: nn.Conv2d, apply: Apply = Stage.apply) -> Tensor:
    """last_conv(upsampler(x)): (B, C, H, W) -> (B, 3, scale·H, scale·W), by `apply`.

    On a CPU without gradient it works in strips of rows, so that maps of high resolution never exist as a whole.
    """
    if not _in_strips(x):
        return apply(Stage(last_conv, 1), upsampler(x, apply), 1)  # as a module, to which its MACs are attributed
    stages = [*upsampler.stages(), Stage(last_conv, 1)]
    images, channels, height, width = x.shape
    scale = 1
    for stage in stages:
        scale *= stage.factor
    rows = max(4, STRIP // (images * channels * width * scale**2))
    output = x.new_empty(images, last_conv.out_channels, scale * height, scale * width)
    for top in range(0, scale * height, scale * rows):
        bottom = min(top + scale * rows, scale * height)
        output[:, :, top:bottom] = _rows(stages, x, top, bottom, apply)
    return output


def _in_strips(x: Tensor) -> bool:
    """Whether to work in strips: on a GPU, and on the meta device for counting MACs, they would only add operators."""
    if x.device.type != "cpu" or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu"):
        return False
    return not torch.compiler.is_compiling()


def _rows(stages: Sequence[Stage], x: Tensor, first: int, last: int, apply: Apply) -> Tensor:
    """Rows `first` to `last` of the stages' output, computed from the rows of x that they need."""
    *earlier, stage = stages
    height = x.shape[2]
    for each in earlier:
        height *= each.factor
    top, bottom = first // stage.factor, -(-last // stage.factor)  # rows of the convolution's output
    above, below = max(top - 1, 0), min(bottom + 1, height)  # and of its input, within the image
    inputs = _rows(earlier, x, above, below, apply) if earlier else x[:, :, above:below]
    if below - above < bottom - top + 2:
        inputs = F.pad(inputs, (0, 0, above - (top - 1), bottom + 1 - below))
    output = apply(stage, inputs, 0)
    return output[:, :, first - stage.factor * top : last - stage.factor * top]
