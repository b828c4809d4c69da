"""The kernels by name, on tensors, for one set of widths.

All take float32 tensors on a CPU with contiguous rows, which `models.spin.ops` ensures. A name that begins with of_ is
the gradient of a loss with respect to the rest of the name.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.spin.configuration import COLOURS, ITERATIONS
from models.spin.cpu import memory
from models.spin.cpu.widths import Widths

_Argument = Tensor | Sequence[Tensor] | int | float | None


class Cells(NamedTuple):
    """The pixels of each of the M cells of an image, and the cells around it: `models.spin.grid.Grid`."""

    pixels: Tensor  # (M, P) long
    inside: Tensor | None  # (M, P) bool
    neighbours: Tensor  # (M, 9) long
    exists: Tensor  # (M, 9) bool


class Kernels:
    """A library and the widths that it is compiled for, in the comments C, D (query and key) and P = D + D + C.

    `compiler` is the name and version of what compiled it.
    """

    def __init__(self, library: ctypes.CDLL, widths: Widths, compiler: str) -> None:
        self.library, self.widths, self.compiler = library, widths, compiler

    def _call(self, name: str, *arguments: _Argument) -> None:
        getattr(self.library, name)(*map(_in_c, arguments), torch.get_num_threads())

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """softmax(scale · query keyᵀ) value: (B, L, D), (B, S, D), (B, S, C) -> (B, L, C).

        Also the sums of the weights, (B, L, 1). The weights are exp of the scores as they are, so the result is valid
        only where `models.attention.usable` accepts the sums.
        """
        batch, length = query.shape[:2]
        mixed, sums = memory.empty(query, batch, length, self.widths.channels), query.new_empty(batch, length, 1)
        self._call("attend", *_rows(query), *_rows(key), *_rows(value), batch, length, key.shape[1], scale, mixed, sums)
        return mixed, sums

    def attend_gradient(
        self, query: Tensor, key: Tensor, value: Tensor, scale: float, mixed: Tensor, sums: Tensor, of_mixed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of query, key and value, from the results of `attend`."""
        of_query, of_key, of_value = (torch.empty(part.shape) for part in (query, key, value))
        sizes = *query.shape[:2], key.shape[1]
        self._call(
            "attend_gradient", *_rows(query), *_rows(key), *_rows(value), *sizes, scale, mixed, sums,
            of_mixed.contiguous(), of_query, of_key, of_value,
        )  # fmt: skip
        return of_query, of_key, of_value

    def attend_groups(
        self, groups: Tensor, x: Tensor, projected: Tensor, shares: Tensor, scale: float, own: bool, keep: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (R, C) plus the outputs of attention within groups (G, n) of its rows, and if `own` their own values.

        projected (R, P), shares (R) by which all that is added to x is multiplied -> total (R, C); the groups' outputs
        (G, n, C), empty unless `keep`, and the sums of their weights (G, n, 1), as from `attend`.
        """
        count, size = groups.shape
        mixed, sums = projected.new_empty(count * keep, size, self.widths.channels), projected.new_empty(count, size, 1)
        total = memory.empty(x, *x.shape)
        self._call(
            "attend_groups", x, projected, shares, len(x), groups, count, size, scale, int(own), total,
            mixed if keep else None, sums,
        )  # fmt: skip
        return total, mixed, sums

    def attend_groups_gradient(
        self, groups: Tensor, projected: Tensor, shares: Tensor, scale: float, own: bool, mixed: Tensor, sums: Tensor,
        of_total: Tensor,
    ) -> Tensor:  # fmt: skip
        """Gradient of `projected`, from what `attend_groups` kept."""
        of_projected = torch.empty_like(projected)
        self._call(
            "attend_groups_gradient", projected, shares, len(projected), groups, *groups.shape, scale, int(own), mixed,
            sums, of_total.contiguous(), of_projected,
        )  # fmt: skip
        return of_projected

    def normalise_and_project(
        self, x: Tensor, norm_weight: Tensor, norm_bias: Tensor, epsilon: float, weight: Tensor, keep: bool
    ) -> tuple[Tensor, Tensor]:
        """LayerNorm of x (R, C) times weight (P, C) transposed: (R, P), and the LayerNorm, empty unless kept."""
        projected, normal = (
            memory.empty(x, len(x), self.widths.projected),
            memory.empty(x, len(x) * keep, self.widths.channels),
        )
        self._call(
            "normalise_and_project", x, len(x), norm_weight, norm_bias, epsilon, _transposed(weight), projected,
            normal if keep else None,
        )  # fmt: skip
        return projected, normal

    def normalise_and_project_gradient(
        self, x: Tensor, norm_weight: Tensor, norm_bias: Tensor, epsilon: float, weight: Tensor, of_projected: Tensor,
        of_normal: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        """Gradients of x, norm_weight, norm_bias and weight."""
        of_x = torch.empty_like(x)
        of_norm_weight, of_norm_bias, of_weight = (torch.zeros_like(part) for part in (norm_weight, norm_bias, weight))
        self._call(
            "normalise_and_project_gradient", x, len(x), norm_weight, norm_bias, epsilon, weight,
            of_projected.contiguous(), None if of_normal is None else of_normal.contiguous(), of_x,
            of_norm_weight, of_norm_bias, of_weight,
        )  # fmt: skip
        return of_x, of_norm_weight, of_norm_bias, of_weight

    def feed_forward(self, x: Tensor, weights: Sequence[Tensor], epsilon: float) -> tuple[Tensor, Tensor]:
        """The FFN of a SPIN block with its residual: x (B, N, C), and the mean of its LayerNorm (B, C).

        `weights` are those of LayerNorm, channel_squeeze, channel_excite, pixel_squeeze, pixel_excite, expand and
        reduce; `self.widths.feed_forward` gives their shapes.
        """
        output, mean = memory.empty(x, *x.shape), x.new_empty(len(x), self.widths.channels)
        self._call("feed_forward", x, *x.shape[:2], weights, epsilon, output, mean)
        return output, mean

    def feed_forward_gradient(
        self, x: Tensor, weights: Sequence[Tensor], epsilon: float, mean: Tensor, of_output: Tensor
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """Gradients of x and of the weights, from the mean that `feed_forward` returned."""
        of_x = torch.empty_like(x)
        flat = x.new_zeros(sum(math.prod(shape) for shape in self.widths.feed_forward))
        parts = flat.split([math.prod(shape) for shape in self.widths.feed_forward])
        of_weights = [part.view(shape) for part, shape in zip(parts, self.widths.feed_forward, strict=True)]
        self._call(
            "feed_forward_gradient", x, *x.shape[:2], weights, epsilon, mean, of_output.contiguous(), of_x, of_weights
        )  # fmt: skip
        return of_x, of_weights

    def associate(self, tokens: Tensor, start: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        """Soft k-means: tokens (B, N, C), start (B, M, C) -> weights, and their log-odds, (B, M, 9, P)."""
        sizes = *tokens.shape[:2], *cells.pixels.shape
        weights, scores = (tokens.new_empty(len(tokens), sizes[2], 9, sizes[3]) for _ in range(2))
        self._call("associate", tokens, *sizes[:2], start, *cells, *sizes[2:], ITERATIONS, weights, scores)
        return weights, scores

    def superpixel_mean(self, tokens: Tensor, weights: Tensor, cells: Cells) -> tuple[Tensor, Tensor]:
        """Weighted mean of the pixels of each superpixel, (B, M, C), and its weight (B, M, 1)."""
        batch, pixels, channels = tokens.shape
        count, most = cells.pixels.shape
        mean, mass = tokens.new_empty(batch, count, channels), tokens.new_empty(batch, count, 1)
        self._call("superpixel_mean", tokens, batch, pixels, weights.contiguous(), *cells, count, most, mean, mass)
        return mean, mass

    def superpixel_mean_gradient(self, of_mean: Tensor, pixels: int, weights: Tensor, cells: Cells) -> Tensor:
        """Gradient of the tokens (B, N, C); of_mean (B, M, C) is already divided by the superpixels' weights."""
        of_tokens = of_mean.new_empty(len(of_mean), pixels, self.widths.channels)
        sizes = cells.pixels.shape
        self._call(
            "superpixel_mean_gradient",
            of_mean,
            len(of_mean),
            pixels,
            weights.contiguous(),
            *cells[:3],
            *sizes,
            of_tokens,
        )
        return of_tokens

    def top_pixels(self, scores: Tensor, cells: Cells, count: int) -> Tensor:
        """Pixels of highest score of each superpixel, (B, M, count) long in rising order; no cell has fewer than count.

        Equal scores go to the lower pixel index.
        """
        top = cells.pixels.new_empty(*scores.shape[:2], count)
        self._call("top_pixels", scores.contiguous(), len(scores), *cells, *cells.pixels.shape, count, top)
        return top

    def convolve(
        self, x: Tensor, weight: Tensor, bias: Tensor, padding: int, factor: int = 1, slope: float = 1.0
    ) -> Tensor:
        """Leaky ReLU of a 3x3 convolution; each group of C output channels becomes one of factor² pixels.

        x (B, C, H, W), weight (factor²·C, C, 3, 3), bias (factor²·C); `padding` zeros above and below, and always one
        at the sides -> (B, C, factor·(H - 2 + 2·padding), factor·W).
        """
        batch, _, height, width = x.shape
        output = memory.empty(x, batch, factor * (height - 2 + 2 * padding), factor * width, self.widths.channels)
        packed = (
            weight.unflatten(0, (-1, self.widths.channels)).permute(0, 3, 4, 2, 1).contiguous()
        )  # (factor², 3, 3, C, C)
        self._call("convolve", _pixels(x), batch, height, width, packed, bias, padding, factor, slope, output)
        return output.permute(0, 3, 1, 2)

    def convolve_to_few(self, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        """A 3x3 convolution to an image, padded as in `convolve`: (B, C, H, W) -> (B, 3, H - 2 + 2·padding, W)."""
        batch, _, height, width = x.shape
        output = x.new_empty(batch, COLOURS, height - 2 + 2 * padding, width)
        packed = weight.permute(2, 0, 3, 1).contiguous()  # (3, COLOURS, 3, C)
        self._call("convolve_to_few", _pixels(x), batch, height, width, packed, bias, padding, output)
        return output

    def enlarge_gradient(self, output: Tensor, of_output: Tensor, factor: int, slope: float) -> Tensor:
        """Gradient of what enters the LeakyReLU of `convolve`, (B, factor²·C, H, W), from its output."""
        batch, _, height, width = output.shape
        height, width = height // factor, width // factor
        of_conv = output.new_empty(batch, height, width, factor**2 * self.widths.channels)
        self._call(
            "enlarge_gradient", _pixels(output), _pixels(of_output), batch, height, width, factor, slope, of_conv
        )
        return of_conv.permute(0, 3, 1, 2)

    def convolution_gradient(self, x: Tensor, of_output: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients of weight (O, C, 3, 3) and bias (O) of a convolution with padding 1.

        x (B, C, H, W), gradient of the output (B, O, H, W).
        """
        batch, _, height, width = x.shape
        outputs = of_output.shape[1]
        of_weight, of_bias = x.new_empty(3, 3, outputs, self.widths.channels), x.new_empty(outputs)
        self._call(
            "convolution_gradient", _pixels(x), _pixels(of_output), batch, height, width, outputs, of_weight, of_bias
        )
        return of_weight.permute(2, 3, 0, 1), of_bias


def _pixels(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H, W, C), without a copy if the memory is channels-last."""
    return x.permute(0, 2, 3, 1).contiguous()


def _rows(x: Tensor) -> tuple[Tensor, int, int]:
    return x, x.stride(0), x.stride(1)


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(-1, -2).contiguous()


def _in_c(argument: _Argument) -> object:
    """A tensor as the address of its numbers, several as an array of addresses; numbers as they are."""
    if isinstance(argument, Tensor):
        return argument.data_ptr()
    if argument is None or isinstance(argument, int | float):
        return argument
    return (ctypes.c_void_p * len(argument))(*(each.data_ptr() for each in argument))
