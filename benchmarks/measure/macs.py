"""Multiply-adds of a network, counted with fvcore.

One MAC is one multiply-add of a convolution, a linear layer, a matrix product or an attention (`HANDLERS`). All other
operators are listed in `ZERO_OPERATORS` and count as zero. An operator in neither list is an error.
The total is half the FLOPs of `torch.utils.flop_counter.FlopCounterMode`, except for products with a vector, which
the latter does not count.

fvcore traces a copy of the network on torch's meta device, where tensors have a shape but no values: counting an output
of 1280x720 needs neither arithmetic nor memory, and padding that only the kernels of one device need is not counted.
Operations that do not contribute to the output are not counted, since the tracer removes them.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from foundation import SpinbenchError

with warnings.catch_warnings():  # on import fvcore compiles losses that are not used here
    warnings.filterwarnings("ignore", r"`torch\.jit\.script", DeprecationWarning)
    from fvcore.nn.jit_analysis import JitModelAnalysis
    from fvcore.nn.jit_handles import conv_flop_count, get_shape

OUTPUT_SIZE = (720, 1280)  # H, W


class CostError(SpinbenchError):
    """A cost that cannot be measured; one line with the network and the reason."""


class Activations(NamedTuple):
    """Elements written in one forward pass.

    `convolutions` follows the NTIRE challenges on efficient super-resolution: outputs of all convolutions. `products`
    also counts the outputs of linear layers and matrix products, among them the maps of attention, whichever operator
    computes it.
    """

    convolutions: int
    products: int


@dataclass(frozen=True)
class Macs:
    """Multiply-adds of one forward pass on one RGB image of `lr_size` (H, W).

    by_module       MACs of every submodule, including its descendants, by dotted name; "" is the network
    by_operator     MACs of the counted operators
    zero_operators  the operators that occurred and count as zero
    activations     number of elements that are written, see `Activations`
    """

    total: int
    lr_size: tuple[int, int]
    by_module: dict[str, int]
    by_operator: dict[str, int]
    zero_operators: tuple[str, ...]
    activations: Activations


def lr_size_for(scale: int) -> tuple[int, int]:
    """(H, W) of the LR image for an output of 1280x720, rounded up: x2 (360, 640), x3 (240, 427), x4 (180, 320).

    Raises ValueError for a scale below 1.
    """
    if scale < 1:
        raise ValueError(f"scale is {scale}, expected 1 or more")
    height, width = OUTPUT_SIZE
    return math.ceil(height / scale), math.ceil(width / scale)


def example(model: nn.Module, lr_size: tuple[int, int], device: torch.device) -> Tensor:
    """A grey image (1, 3, H, W) in the dtype of the network's parameters."""
    dtype = next((parameter.dtype for parameter in model.parameters()), torch.float32)
    return torch.full((1, 3, *lr_size), 0.5, dtype=dtype, device=device)


def macs(model: nn.Module, lr_size: tuple[int, int]) -> Macs:
    """Count the MACs of `model` in eval mode on one image of `lr_size` (H, W). The model itself is not changed.

    Raises CostError for an operator that is neither counted nor listed as zero, and for a network that depends on the
    values of the image (a branch, a number of elements) or has tensors that are neither parameters nor buffers.
    """
    kind = type(model).__name__
    try:
        twin = copy.deepcopy(model).to("meta").eval().requires_grad_(False)
        analysis = JitModelAnalysis(twin, (example(twin, lr_size, torch.device("meta")),))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        tally = _Tally()
        analysis.set_op_handle(**tally.handlers())
        with torch.no_grad(), _Traceable():
            by_operator = analysis.by_operator()
    except (RuntimeError, TypeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CostError(f"{kind} cannot be traced on the meta device: {reason}") from error
    by_module = analysis.by_module()
    for operator in analysis.unsupported_ops():
        where = max((name for name in by_module if analysis.unsupported_ops(name)[operator]), key=len)
        place = f"module {where!r}" if where else "the network itself"
        raise CostError(f"{kind}: operator {operator} in {place} has no MAC handler and is not listed as zero")
    return Macs(
        total=by_operator.total(),
        lr_size=lr_size,
        by_module=dict(by_module),
        by_operator=dict(by_operator),
        zero_operators=tuple(sorted(tally.zero_operators)),
        activations=Activations(tally.convolutions, tally.products),
    )


Handler = Callable[[list[Any], list[Any]], int]  # inputs and outputs of an operator in the traced graph -> MACs


class _Tally:
    """fvcore's handlers of all operators, which also count activations and collect the zero operators that occur."""

    def __init__(self) -> None:
        self.convolutions = self.products = 0
        self.zero_operators: set[str] = set()

    def handlers(self) -> dict[str, partial[Counter[str]]]:
        counted = {operator: partial(self._count, *entry) for operator, entry in HANDLERS.items()}
        return counted | {f"aten::{operator}": partial(self._zero, operator) for operator in ZERO_OPERATORS}

    def _count(self, name: str, handler: Handler, inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        written = math.prod(get_shape(outputs[0]))
        self.convolutions += written if name == "convolution" else 0
        self.products += written + (_attention_map(inputs) if name == "attention" else 0)
        return Counter({name: handler(inputs, outputs)})

    def _zero(self, operator: str, inputs: list[Any], outputs: list[Any]) -> Counter[str]:
        self.zero_operators.add(operator)
        return Counter()


def _convolution(inputs: list[Any], outputs: list[Any]) -> int:
    transposed = inputs[6].toIValue() is True  # _convolution_mode, never transposed, has its number of groups here
    return int(conv_flop_count(*map(get_shape, (*inputs[:2], outputs[0])), transposed=transposed))


def _product(inputs: list[Any], outputs: list[Any]) -> int:
    return math.prod(get_shape(outputs[0])) * int(get_shape(inputs[0])[-1])


def _added_product(inputs: list[Any], outputs: list[Any]) -> int:
    return _product(inputs[1:], outputs)


def _attention(inputs: list[Any], outputs: list[Any]) -> int:
    query, key, value = map(get_shape, inputs[:3])  # (..., L, D)
    return math.prod(get_shape(outputs[0])[:-1]) * int(key[-2] * (query[-1] + value[-1]))


def _attention_map(inputs: list[Any]) -> int:
    """Elements of the map of scaled_dot_product_attention, the first of its two products."""
    query, key = map(get_shape, inputs[:2])
    return math.prod(query[:-1]) * int(key[-2])


def _einsum(inputs: list[Any], outputs: list[Any]) -> int:
    # torch chooses the order of an einsum's products, so its own counter is used
    operands = [torch.empty(get_shape(value), device="meta") for value in inputs[1].node().inputs()]
    with FlopCounterMode(display=False) as counter:
        torch.einsum(inputs[0].toIValue(), *operands)
    return counter.get_total_flops() // 2


HANDLERS: dict[str, tuple[str, Handler]] = {
    "spinbench::convolution": ("convolution", _convolution),
    "aten::_convolution_mode": ("convolution", _convolution),  # padding="same"
    "aten::linear": ("linear", _product),
    "aten::matmul": ("matmul", _product),
    "aten::mm": ("mm", _product),
    "aten::bmm": ("bmm", _product),
    "aten::addmm": ("addmm", _added_product),
    "aten::baddbmm": ("baddbmm", _added_product),
    "aten::einsum": ("einsum", _einsum),
    "aten::scaled_dot_product_attention": ("attention", _attention),
}

# None of these sums products over a shared axis. The time they take is part of the latency.
_ZERO_GROUPS = (
    # a few operations per element
    """abs add add_ addcdiv addcmul bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp clamp_ clamp_max
    clamp_min cos div div_ dropout elu eq erf exp expm1 floor floor_divide fmod ge gelu gt hardsigmoid hardswish
    hardtanh le leaky_relu leaky_relu_ lerp log log1p log2 logical_and logical_not logical_or logical_xor logit lt
    masked_fill masked_fill_ maximum minimum mish mul mul_ ne neg pow prelu reciprocal relu relu6 relu_ remainder
    round rsqrt rsub sigmoid sigmoid_ sign silu silu_ sin softplus sqrt square sub sub_ tanh tanh_ true_divide trunc
    where __and__ __iand__ __ilshift__ __ior__ __irshift__ __ixor__ __lshift__ __or__ __rshift__ __xor__""",
    # reductions and normalisations
    """all amax amin any argmax argmin batch_norm cumsum group_norm instance_norm layer_norm linalg_vector_norm
    log_softmax logsumexp max mean min norm prod rms_norm softmax std std_mean sum var var_mean _weight_norm
    _weight_norm_interface""",
    # pooling and interpolation
    """adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d avg_pool1d avg_pool2d grid_sampler max_pool1d
    max_pool2d _upsample_bicubic2d_aa upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d
    upsample_nearest2d""",
    # selecting, sorting, moving and scattering elements
    """argsort broadcast_to cat channel_shuffle chunk clone col2im constant_pad_nd contiguous copy_ diagonal expand
    expand_as fill_ flatten flip gather im2col index index_add index_add_ index_copy index_fill index_put index_put_
    index_select meshgrid movedim narrow nonzero pad permute pixel_shuffle pixel_unshuffle reflection_pad1d
    reflection_pad2d repeat repeat_interleave replication_pad2d reshape reshape_as roll rot90 scatter scatter_
    scatter_add scatter_add_ scatter_reduce select slice sort split split_with_sizes squeeze stack swapaxes t
    take_along_dim tile topk transpose tril triu unbind unflatten unfold unsqueeze unsqueeze_ view view_as zero_""",
    # new tensors, types and sizes
    """Bool Float Int ScalarImplicit alias arange detach empty empty_like eye full full_like lift_fresh linspace
    new_empty new_full new_ones new_zeros numel ones ones_like scalar_tensor size to type_as zeros zeros_like""",
)
ZERO_OPERATORS = frozenset(operator for group in _ZERO_GROUPS for operator in group.split())


class _Traceable(TorchFunctionMode):
    """Adapts calls of torch functions, before any operator runs, so that the tracer can follow them on the meta device.

    Sizes become plain numbers. Convolutions call the operator that the tracer records, which meta tensors would bypass.
    A reinterpretation of bits as another type, which the tracer cannot express, becomes a conversion.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func in _SIZES:
            size = func(*args, **(kwargs or {}))
            return torch.Size(map(int, size)) if isinstance(size, torch.Size) else int(size)
        if func is Tensor.view and isinstance(args[1], torch.dtype) and args[1].itemsize == args[0].dtype.itemsize:
            return args[0].to(args[1])
        return _RECORDED.get(func, func)(*args, **(kwargs or {}))


# PyTorch's own operator is never recorded, and `_convolution`, which is, lacks a meta kernel before PyTorch 2.12.
_OPERATORS = torch.library.Library("spinbench", "DEF")  # lives as long as its operators
_OPERATORS.define(
    "convolution(Tensor input, Tensor weight, Tensor? bias, int[] stride, int[] padding, int[] dilation, "
    "bool transposed, int[] output_padding, int groups) -> Tensor"
)
_OPERATORS.impl("convolution", torch.ops.aten.convolution.default, "Meta")

Numbers = int | tuple[int, ...]


def _convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Tensor:
    if isinstance(padding, str):  # calls another operator, which is recorded
        convolution = {3: torch.conv1d, 4: torch.conv2d, 5: torch.conv3d}[weight.dim()]
        return convolution(input, weight, bias, stride, padding, dilation, groups)
    sizes = _list(stride), _list(padding), _list(dilation)
    return torch.ops.spinbench.convolution(input, weight, bias, *sizes, False, [0], groups)


def _convolve_transposed(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Tensor:
    sizes = _list(stride), _list(padding), _list(dilation)
    more = True, _list(output_padding), groups
    return torch.ops.spinbench.convolution(input, weight, bias, *sizes, *more)


def _list(numbers: Numbers) -> list[int]:
    return [numbers] if isinstance(numbers, int) else list(numbers)


_SIZES = {Tensor.size, Tensor.numel, torch.numel, Tensor.shape.__get__}  # type: ignore[attr-defined]
_RECORDED = dict.fromkeys((torch.conv1d, torch.conv2d, torch.conv3d), _convolve) | dict.fromkeys(
    (torch.conv_transpose1d, torch.conv_transpose2d, torch.conv_transpose3d), _convolve_transposed
)
