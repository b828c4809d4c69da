"""The kernels as differentiable functions. What the gradient can compute again is not kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from models.attention import usable
from models.spin.configuration import COLOURS, EPSILON
from models.spin.cpu.kernels import Cells, Kernels

Gradients = tuple[Tensor | None, ...]


def attend(kernels: Kernels, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor | None:
    """softmax(scale · query keyᵀ) value: (B, L, D), (B, S, D), (B, S, C) -> (B, L, C); None if sums are not usable."""
    with torch.no_grad():
        mixed, sums = kernels.attend(query, key, value, scale)
    if not usable(sums):
        return None
    return _Attend.apply(kernels, query, key, value, mixed, sums, scale) if torch.is_grad_enabled() else mixed


def attend_groups(
    kernels: Kernels, groups: Tensor, x: Tensor, projected: Tensor, shares: Tensor, scale: float, own: bool
) -> Tensor | None:
    """x (R, C) plus the outputs of attention within groups (G, n) of its rows, and if `own` their own values.

    projected (R, D + D + C), shares (R) by which all that is added to x is multiplied -> (R, C); None if sums are not
    usable.
    """
    keep = torch.is_grad_enabled()
    with torch.no_grad():
        total, mixed, sums = kernels.attend_groups(groups, x, projected, shares, scale, own, keep)
    if not usable(sums):
        return None
    return _AttendGroups.apply(kernels, x, projected, groups, shares, mixed, sums, total, scale, own) if keep else total


def normalise_and_project(
    kernels: Kernels, x: Tensor, norm: nn.LayerNorm, weight: Tensor, keep: bool
) -> tuple[Tensor, Tensor]:
    """LayerNorm of x (R, C) times weight (P, C) transposed: (R, P), and the LayerNorm (R, C), empty unless kept."""
    return _NormaliseAndProject.apply(kernels, x, norm.weight, norm.bias, norm.eps, weight, keep)


def feed_forward(kernels: Kernels, x: Tensor, weights: Sequence[Tensor], epsilon: float) -> Tensor:
    """The FFN of a SPIN block with its residual, x (B, N, C); weights as in `Kernels.feed_forward`."""
    return _FeedForward.apply(kernels, x, epsilon, *weights)


def superpixel_mean(kernels: Kernels, tokens: Tensor, weights: Tensor, cells: Cells) -> Tensor:
    """Weighted mean of the pixels of each superpixel: tokens (B, N, C), weights (B, M, 9, P) -> (B, M, C).

    There is no gradient of the weights.
    """
    return _SuperpixelMean.apply(kernels, tokens, weights, cells)


def convolution(kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
    """The 3x3 convolution of x (B, C, H, W) to C or 3 outputs, padded by `padding` above and below, by 1 at the sides.

    There is a gradient if the padding is 1.
    """
    return _Convolution.apply(kernels, x, weight, bias, padding)


def enlarge(
    kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor, factor: int, padding: int, slope: float
) -> Tensor:
    """Leaky ReLU of a 3x3 convolution; each group of C output channels becomes one of factor² pixels.

    x (B, C, H, W), `padding` zeros above and below, and always one at the sides
    -> (B, C, factor·(H - 2 + 2·padding), factor·W). There is a gradient if the padding is 1.
    """
    return _Enlarge.apply(kernels, x, weight, bias, factor, padding, slope)


class _Attend(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, query: Tensor, key: Tensor, value: Tensor, mixed: Tensor, sums: Tensor,
        scale: float,
    ) -> Tensor:  # fmt: skip
        ctx.kernels = kernels
        ctx.save_for_backward(query, key, value, mixed, sums)
        ctx.scale = scale
        return mixed.view_as(mixed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mixed: Tensor) -> Gradients:
        query, key, value, mixed, sums = ctx.saved_tensors
        gradients = ctx.kernels.attend_gradient(query, key, value, ctx.scale, mixed, sums, of_mixed)
        return None, *gradients, None, None, None


class _AttendGroups(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, x: Tensor, projected: Tensor, groups: Tensor, shares: Tensor, mixed: Tensor,
        sums: Tensor, total: Tensor, scale: float, own: bool,
    ) -> Tensor:  # fmt: skip
        ctx.kernels = kernels
        ctx.save_for_backward(projected, groups, shares, mixed, sums)
        ctx.mark_dirty(total)
        ctx.scale, ctx.own = scale, own
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor) -> Gradients:
        projected, groups, shares, mixed, sums = ctx.saved_tensors
        of_projected = ctx.kernels.attend_groups_gradient(
            groups, projected, shares, ctx.scale, ctx.own, mixed, sums, of_total
        )
        return None, of_total, of_projected, *[None] * 7


class _SuperpixelMean(Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, tokens: Tensor, weights: Tensor, cells: Cells) -> Tensor:
        mean, mass = kernels.superpixel_mean(tokens, weights, cells)
        ctx.kernels = kernels
        ctx.save_for_backward(weights, mass)
        ctx.pixels, ctx.cells = tokens.shape[1], cells
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor) -> Gradients:
        weights, mass = ctx.saved_tensors
        of_mean = of_mean / (mass + EPSILON)
        return None, ctx.kernels.superpixel_mean_gradient(of_mean, ctx.pixels, weights, ctx.cells), None, None


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        ctx.kernels = kernels
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        if len(weight) == COLOURS:
            return kernels.convolve_to_few(x, weight, bias, padding)
        return kernels.convolve(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> Gradients:
        assert ctx.padding == 1
        x, weight = ctx.saved_tensors
        return None, *_convolution_gradient(ctx.kernels, x, weight, of_output), None


class _Enlarge(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, x: Tensor, weight: Tensor, bias: Tensor, factor: int, padding: int, slope: float
    ) -> Tensor:
        output = kernels.convolve(x, weight, bias, padding, factor, slope)
        ctx.kernels = kernels
        ctx.save_for_backward(x, weight, output)
        ctx.factor, ctx.padding, ctx.slope = factor, padding, slope
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> Gradients:
        assert ctx.padding == 1
        x, weight, output = ctx.saved_tensors
        of_x, of_weight, of_bias = torch.empty_like(x), torch.zeros_like(weight), weight.new_zeros(len(weight))
        for image in zip(x.split(1), output.split(1), of_output.split(1), of_x.split(1), strict=True):
            # One image at a time, so that the gradient of the convolution's output stays in the cache
            of_conv = ctx.kernels.enlarge_gradient(image[1], image[2], ctx.factor, ctx.slope)
            of_image, of_weight_here, of_bias_here = _convolution_gradient(ctx.kernels, image[0], weight, of_conv)
            image[3].copy_(of_image)
            of_weight += of_weight_here
            of_bias += of_bias_here
        return None, of_x, of_weight, of_bias, None, None, None


def _convolution_gradient(
    kernels: Kernels, x: Tensor, weight: Tensor, of_output: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    of_output = of_output.contiguous(memory_format=torch.channels_last)
    sizes = [1, 1], [1, 1], [1, 1], False, [0, 0], 1  # stride, padding, dilation, ...
    of_x, _, _ = torch.ops.aten.convolution_backward(of_output, x, weight, None, *sizes, [True, False, False])
    return of_x, *kernels.convolution_gradient(x, of_output)


class _NormaliseAndProject(Function):
    @staticmethod
    def forward(
        ctx: Any, kernels: Kernels, x: Tensor, norm_weight: Tensor, norm_bias: Tensor, epsilon: float, weight: Tensor,
        keep: bool,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        ctx.kernels = kernels
        ctx.save_for_backward(x, norm_weight, norm_bias, weight)
        ctx.epsilon, ctx.keep = epsilon, keep
        return kernels.normalise_and_project(x, norm_weight, norm_bias, epsilon, weight, keep)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_projected: Tensor, of_normal: Tensor) -> Gradients:
        x, norm_weight, norm_bias, weight = ctx.saved_tensors
        of_x, of_norm_weight, of_norm_bias, of_weight = ctx.kernels.normalise_and_project_gradient(
            x, norm_weight, norm_bias, ctx.epsilon, weight, of_projected, of_normal if ctx.keep else None
        )
        return None, of_x, of_norm_weight, of_norm_bias, None, of_weight, None


class _FeedForward(Function):
    @staticmethod
    def forward(ctx: Any, kernels: Kernels, x: Tensor, epsilon: float, *weights: Tensor) -> Tensor:
        output, mean = kernels.feed_forward(x, weights, epsilon)
        ctx.kernels = kernels
        ctx.save_for_backward(x, mean, *weights)
        ctx.epsilon = epsilon
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> Gradients:
        x, mean, *weights = ctx.saved_tensors
        of_x, of_weights = ctx.kernels.feed_forward_gradient(x, weights, ctx.epsilon, mean, of_output)
        return None, of_x, None, *of_weights
