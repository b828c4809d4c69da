"""What SPIN computes, in the paper's terms: the one door to the kernels for a CPU.

Every function chooses between the kernels (`cpu`) and PyTorch (`plain`, `models.attention`, `models.upsampling`) by
the device, type, layout in memory and widths of its arguments. Shapes: B images, N pixels, M superpixels, C channels,
D the width of query and key.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import attention, upsampling
from models.grouping import Occurrences
from models.spin import cpu, plain
from models.spin.configuration import COLOURS, Form
from models.spin.cpu import functions, memory
from models.spin.cpu.kernels import Cells, Kernels
from models.spin.cpu.widths import Widths
from models.spin.grid import Grid
from models.upsampling import Stage, Upsampler

if TYPE_CHECKING:
    from models.spin.attention import Projections
    from models.spin.network import FeedForward


def associate(tokens: Tensor, start: Tensor, grid: Grid, form: Form) -> tuple[Tensor, Tensor]:
    """Soft k-means (Eq. 3): tokens (B, N, C), first centroids (B, M, C) -> weights and scores, (B, M, 9, P)."""
    served = form == "softmax" and not torch.is_grad_enabled() and _dense(tokens)
    if served and (kernels := _kernels(tokens, channels=tokens.shape[-1])):
        return kernels.associate(tokens, start.contiguous(), _cells(grid))
    return plain.associate(tokens, start, grid, form)


def superpixel_mean(tokens: Tensor, weights: Tensor, grid: Grid) -> Tensor:
    """Weighted mean of the pixels of each superpixel (Eq. 4): (B, N, C), (B, M, 9, P) -> (B, M, C)."""
    served = _dense(tokens) and not weights.requires_grad
    if served and (kernels := _kernels(tokens, weights, channels=tokens.shape[-1])):
        return functions.superpixel_mean(kernels, tokens, weights, _cells(grid))
    return plain.superpixel_mean(tokens, weights, grid)


def top_pixels(scores: Tensor, grid: Grid, count: int) -> Tensor:
    """Pixels of highest score of each superpixel, equal scores in favour of the lower index.

    (B, M, 9, P) -> (B, M, count) long, in rising order. Kernels and PyTorch select the same pixels.
    """
    if cpu.ready(scores) and count <= grid.smallest and (kernels := cpu.loaded()):
        return kernels.top_pixels(scores, _cells(grid), count)
    return plain.top_pixels_of_cells(scores, grid, count)


def normalise_and_project(x: Tensor, norm: nn.LayerNorm, to: Projections, keep: bool = False) -> tuple[Tensor, Tensor]:
    """Query, key and value of norm(x) side by side, and norm(x), which is valid only if `keep`.

    x (..., C) -> (..., D + D + C) and (..., C).
    """
    weight = torch.cat([to.query.weight, to.key.weight, to.value.weight])
    widths = {"channels": x.shape[-1], "attention": to.query.out_features}
    if _dense(x) and (kernels := _kernels(x, weight, **widths)):
        projected, normal = functions.normalise_and_project(kernels, x.flatten(0, -2), norm, weight, keep)
        return projected.unflatten(0, x.shape[:-1]), normal.view(x.shape) if keep else normal
    x = norm(x)
    return F.linear(x, weight), x


def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(scale · query keyᵀ) value, one head: (B, L, D), (B, S, D), (B, S, C) -> (B, L, C)."""
    parts = query, key, value
    widths = {"channels": value.shape[-1], "attention": query.shape[-1]}
    if all(part.stride(-1) == 1 for part in parts) and (kernels := _kernels(*parts, **widths)):
        mixed = functions.attend(kernels, query, key, value, scale)
        if mixed is not None:
            return mixed
        return attention.untiled(query, key, value, scale)
    return attention.attention(query, key, value, scale)


def attend_groups(
    groups: Tensor, x: Tensor, norm: nn.LayerNorm, to: Projections, shares: Tensor, own: bool, most: int | None
) -> Tensor:
    """x (B, N, C) plus the output of attention within groups of pixels, and the pixel's own value if `own`.

    `groups` (G, n) are indices of rows of the flattened x, which is normalised and projected. Outputs for the same row
    are added up and multiplied by its share (B·N). No row occurs more than `most` times; None: there is no bound.
    """
    rows = x.flatten(0, 1)
    projected, _ = normalise_and_project(rows, norm, to)  # (B·N, D + D + C)
    parts = rows, projected, shares
    widths = {"channels": x.shape[-1], "attention": to.query.out_features}
    if _dense(*parts, groups) and (kernels := _kernels(*parts, **widths)):
        total = functions.attend_groups(kernels, groups, rows, projected, shares, to.scale, own)
        if total is not None:
            return total.view(x.shape)
    return x + plain.received(Occurrences.of(groups, rows.shape[0], most), projected, to, shares, own).view(x.shape)


def feed_forward(x: Tensor, ffn: FeedForward) -> Tensor:
    """The FFN with its residual (Section 3.2): (B, N, C) -> (B, N, C)."""
    layers = (
        ffn.norm, ffn.channel_squeeze, ffn.channel_excite, ffn.pixel_squeeze, ffn.pixel_excite, ffn.expand, ffn.reduce,
    )  # fmt: skip
    weights = [part for layer in layers for part in (layer.weight, layer.bias)]
    widths = {"channels": x.shape[-1], "hidden": ffn.expand.out_features}
    if _dense(x, *weights) and (kernels := _kernels(x, *weights, **widths)):
        return functions.feed_forward(kernels, x, weights, ffn.norm.eps)
    return plain.feed_forward(x, ffn)


def convolution(x: Tensor, conv: nn.Conv2d, padding: int = 1) -> Tensor:
    """The 3x3 convolution of x (B, C, H, W) to (B, O, H - 2 + 2·padding, W), always padded by 1 at the sides.

    There are kernels for O = C and for O = 3.
    """
    outputs, channels = conv.weight.shape[:2]
    served = outputs in (COLOURS, channels) and conv.kernel_size == (3, 3)
    if served and conv.bias is not None and (kernels := _kernels(x, conv.weight, channels=channels)):
        return functions.convolution(kernels, x, conv.weight, conv.bias, padding)
    return Stage(conv, 1).apply(x, padding)


def upsample(x: Tensor, upsampler: Upsampler, last_conv: nn.Conv2d) -> Tensor:
    """Sub-pixel convolutions and the last convolution: (B, C, H, W) -> (B, 3, scale·H, scale·W)."""
    return upsampling.upsample(x, upsampler, last_conv, _stage)


def _stage(stage: Stage, x: Tensor, rows_padded: int) -> Tensor:
    """One convolution of `upsample`, with the pixel shuffle and the LeakyReLU after it if it has these."""
    if stage.factor == 1:
        return convolution(x, stage.conv, rows_padded)
    channels = stage.conv.in_channels
    served = stage.conv.out_channels == stage.factor**2 * channels
    if served and (kernels := _kernels(x, stage.conv.weight, channels=channels)):
        weight, bias = stage.by_place()
        return functions.enlarge(kernels, x, weight, bias, stage.factor, rows_padded, upsampling.SLOPE)
    return stage.apply(x, rows_padded)


def reused_memory(x: Tensor) -> AbstractContextManager[None]:
    """A context in which, without gradient, kernels and `add` use memory that is no longer needed.

    torch.compile manages its own memory and uses no kernels.
    """
    if torch.is_grad_enabled() or not _kernels(x, channels=x.shape[-1]):
        return nullcontext()
    return memory.reused()


def add(x: Tensor, y: Tensor) -> Tensor:
    """x + y, of the same shape."""
    if not cpu.ready(x, y) or not memory.in_use():
        return x + y
    return torch.add(x, y, out=memory.empty(x, *x.shape))


def _kernels(*tensors: Tensor, **widths: int) -> Kernels | None:
    """The kernels for these tensors and widths, if there are any; widths that are not given are the published ones."""
    return cpu.kernels(Widths(**widths)) if cpu.ready(*tensors) else None


def _dense(*tensors: Tensor) -> bool:
    return all(part.is_contiguous() for part in tensors)


def _cells(grid: Grid) -> Cells:
    return Cells(grid.pixels, grid.inside, grid.neighbours, grid.exists)
