"""The kernels as differentiable functions. Where something can be computed again for the gradient, it is not kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from models import native
from models.native import kernels

Gradients = tuple[Tensor | None, ...]


def attention_fits(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether there are kernels for attention of these."""
    widths = query.shape[-1], key.shape[-1], value.shape[-1]
    sides = all(part.stride(-1) == 1 for part in (query, key, value))
    return widths == (kernels.WIDTH, kernels.WIDTH, kernels.CHANNELS) and sides and native.ready(query, key, value)


def projection_fits(x: Tensor, weight: Tensor) -> bool:
    """Whether `normalise_and_project` takes these."""
    widths = x.shape[-1], *weight.shape
    expected = kernels.CHANNELS, kernels.PROJECTED, kernels.CHANNELS
    return widths == expected and x.is_contiguous() and native.ready(x, weight)


def feed_forward_fits(x: Tensor, weights: Sequence[Tensor]) -> bool:
    """Whether `feed_forward` takes these."""
    fits = x.shape[-1] == kernels.CHANNELS and [part.shape for part in weights] == kernels.FFN_SHAPES
    return fits and all(part.is_contiguous() for part in (x, *weights)) and native.ready(x, *weights)


def association_fits(tokens: Tensor) -> bool:
    """Whether there are kernels for associations of these tokens (B, N, C)."""
    return tokens.shape[-1] == kernels.CHANNELS and tokens.is_contiguous() and native.ready(tokens)


def usable(sums: Tensor) -> bool:
    """Whether sums of weights from which no maximum was subtracted lie far within float32."""
    least, most = (extreme.item() for extreme in sums.aminmax())
    return 2**-60 < least <= most < 2**100  # not so either if there is a NaN


def attend_groups(
    groups: Tensor, x: Tensor, projected: Tensor, shares: Tensor, scale: float, own: bool
) -> Tensor | None:
    """x (R, C) plus what every row receives by attention within groups (G, n) of rows, and if `own` its own value.

    projected (R, D + D + C), shares (R) by which what is received counts -> (R, C); None where there is no kernel for
    these, or sums are not usable.
    """
    widths = x.shape[-1], projected.shape[-1]
    contiguous = all(part.is_contiguous() for part in (x, projected, groups, shares))
    if widths != (kernels.CHANNELS, kernels.PROJECTED) or not contiguous or not native.ready(x, projected, shares):
        return None
    keep = torch.is_grad_enabled()
    with torch.no_grad():
        total, mixed, sums = kernels.attend_groups(groups, x, projected, shares, scale, own, keep)
    if not usable(sums):
        return None
    return _AttendGroups.apply(x, projected, groups, shares, mixed, sums, total, scale, own) if keep else total


def normalise_and_project(x: Tensor, norm: nn.LayerNorm, weight: Tensor, keep: bool) -> tuple[Tensor, Tensor]:
    """LayerNorm of x (R, C) times weight (P, C) transposed: (R, P), and the LayerNorm (R, C), empty unless kept."""
    return _NormaliseAndProject.apply(x, norm.weight, norm.bias, norm.eps, weight, keep)


def feed_forward(x: Tensor, weights: Sequence[Tensor], epsilon: float) -> Tensor:
    """The FFN of a SPIN block with its residual, x (B, N, C); weights as in `kernels.feed_forward`."""
    return _FeedForward.apply(x, epsilon, *weights)


def superpixel_mean(tokens: Tensor, weights: Tensor, cells: kernels.Cells, epsilon: float) -> Tensor:
    """Weighted mean of the pixels of each superpixel: tokens (B, N, C), weights (B, M, 9, P) -> (B, M, C).

    There is no gradient of the weights; `epsilon` is what is added to their sum.
    """
    return _SuperpixelMean.apply(tokens, weights, cells, epsilon)


def convolution_fits(x: Tensor, weight: Tensor) -> bool:
    """Whether there are kernels for a 3x3 convolution with these weights."""
    return weight.shape[1:] == (kernels.CHANNELS, 3, 3) and native.ready(x, weight)


def convolution(x: Tensor, conv: nn.Conv2d, padding: int = 1) -> Tensor:
    """The 3x3 convolution of x (B, C, H, W) to (B, O, H - 2 + 2·padding, W), always padded by 1 at the sides.

    There are kernels for O = C and for few outputs.
    """
    outputs = kernels.FEW, kernels.CHANNELS
    if conv.bias is not None and conv.out_channels in outputs and convolution_fits(x, conv.weight):
        return _Convolution.apply(x, conv.weight, conv.bias, padding)
    if padding == 1:
        return cast(Tensor, conv(x))
    return nn.functional.conv2d(x, conv.weight, conv.bias, padding=(padding, 1))


def enlarge(x: Tensor, weight: Tensor, bias: Tensor, factor: int, padding: int, slope: float) -> Tensor:
    """Leaky ReLU of a 3x3 convolution, of whose output channels each group of C becomes one of factor² pixels.

    x (B, C, H, W), `padding` zeros above and below, and always one at the sides
    -> (B, C, factor·(H - 2 + 2·padding), factor·W). There is a gradient if the padding is 1.
    """
    return _Enlarge.apply(x, weight, bias, factor, padding, slope)


class _AttendGroups(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, projected: Tensor, groups: Tensor, shares: Tensor, mixed: Tensor, sums: Tensor,
        total: Tensor, scale: float, own: bool,
    ) -> Tensor:  # fmt: skip
        ctx.save_for_backward(projected, groups, shares, mixed, sums)
        ctx.mark_dirty(total)
        ctx.scale, ctx.own = scale, own
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: Tensor) -> Gradients:
        projected, groups, shares, mixed, sums = ctx.saved_tensors
        of_projected = kernels.attend_groups_gradient(
            groups, projected, shares, ctx.scale, ctx.own, mixed, sums, of_total
        )
        return of_total, of_projected, *[None] * 7


class _SuperpixelMean(Function):
    @staticmethod
    def forward(ctx: Any, tokens: Tensor, weights: Tensor, cells: kernels.Cells, epsilon: float) -> Tensor:
        mean, mass = kernels.superpixel_mean(tokens, weights, cells)
        ctx.save_for_backward(weights, mass)
        ctx.pixels, ctx.cells, ctx.epsilon = tokens.shape[1], cells, epsilon
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: Tensor) -> Gradients:
        weights, mass = ctx.saved_tensors
        of_mean = of_mean / (mass + ctx.epsilon)
        return kernels.superpixel_mean_gradient(of_mean, ctx.pixels, weights, ctx.cells), None, None, None


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding = padding
        if len(weight) == kernels.FEW:
            return kernels.convolve_to_few(x, weight, bias, padding)
        return kernels.convolve(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> Gradients:
        assert ctx.padding == 1
        x, weight = ctx.saved_tensors
        return *_convolution_gradient(x, weight, of_output), None


class _Enlarge(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, factor: int, padding: int, slope: float) -> Tensor:
        output = kernels.convolve(x, weight, bias, padding, factor, slope)
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
            # One at a time, so that the gradient of the convolution itself stays in the cache
            of_conv = kernels.enlarge_gradient(image[1], image[2], ctx.factor, ctx.slope)
            of_image, of_weight_here, of_bias_here = _convolution_gradient(image[0], weight, of_conv)
            image[3].copy_(of_image)
            of_weight += of_weight_here
            of_bias += of_bias_here
        return of_x, of_weight, of_bias, None, None, None


def _convolution_gradient(x: Tensor, weight: Tensor, of_output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    of_output = of_output.contiguous(memory_format=torch.channels_last)
    sizes = [1, 1], [1, 1], [1, 1], False, [0, 0], 1  # stride, padding, dilation, ...
    of_x, _, _ = torch.ops.aten.convolution_backward(of_output, x, weight, None, *sizes, [True, False, False])
    return of_x, *kernels.convolution_gradient(x, of_output)


class _NormaliseAndProject(Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norm_weight: Tensor, norm_bias: Tensor, epsilon: float, weight: Tensor, keep: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(x, norm_weight, norm_bias, weight)
        ctx.epsilon, ctx.keep = epsilon, keep
        return kernels.normalise_and_project(x, norm_weight, norm_bias, epsilon, weight, keep)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_projected: Tensor, of_normal: Tensor) -> Gradients:
        x, norm_weight, norm_bias, weight = ctx.saved_tensors
        of_x, of_norm_weight, of_norm_bias, of_weight = kernels.normalise_and_project_gradient(
            x, norm_weight, norm_bias, ctx.epsilon, weight, of_projected, of_normal if ctx.keep else None
        )
        return of_x, of_norm_weight, of_norm_bias, None, of_weight, None


class _FeedForward(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, epsilon: float, *weights: Tensor) -> Tensor:
        output, mean = kernels.feed_forward(x, weights, epsilon)
        ctx.save_for_backward(x, mean, *weights)
        ctx.epsilon = epsilon
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_output: Tensor) -> Gradients:
        x, mean, *weights = ctx.saved_tensors
        of_x, of_weights = kernels.feed_forward_gradient(x, weights, ctx.epsilon, mean, of_output)
        return of_x, None, *of_weights
