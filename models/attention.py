"""softmax(Q Kᵀ) V: PyTorch's fused attention, and on a CPU tiles of matrix products that stay in the cache.

Heads of a few dozen channels gain little from PyTorch's fused kernel for a CPU, which takes equal widths of key and
value only: tiles of plain matrix products at the true widths are faster in both directions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

LOG2_E = 1.4426950408889634
PIECE = 2**21  # elements of a tile: 8 MiB in float32, which stay in a CPU's cache
WIDTHS = 8  # of which the fused kernels of a GPU want multiples: 16 bytes in half precision
BLOCKS = 65_535  # of heads of all groups that one kernel of a GPU can be started for
LANES = 64  # float32 values in the widest vector of any CPU


def attention(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """softmax(scale · query keyᵀ) · value over the last two dimensions.

    query (..., L, D), key (..., S, D), value (..., S, E) -> (..., L, E). NaN stays NaN, as in `fused`.
    """
    if _tiled(query):
        queries, keys, values = (part.flatten(0, -3) for part in (query, key, value))
        with torch.no_grad():
            mixed, sums = _attend(queries, keys, values, scale)
        if usable(sums):
            if torch.is_grad_enabled():
                mixed = _WithGradient.apply(queries, keys, values, mixed, sums, scale)
            return mixed.unflatten(0, query.shape[:-2])
    return untiled(query, key, value, scale)


def untiled(query: Tensor, key: Tensor, value: Tensor, scale: float, bias: Tensor | None = None) -> Tensor:
    """Attention by `fused`, for any widths, with or without a dimension for heads; `bias` is added to the scores.

    Fused kernels have conditions, without which PyTorch stores all weights of the attention: on a CPU equal widths, on
    a GPU four dimensions, widths in multiples of 8 and rows of the bias in one piece. Zeros beyond a width change no
    product.
    """
    if query.dim() == 3:
        return untiled(query[:, None], key[:, None], value[:, None], scale, bias).squeeze(1)
    width, depth = query.shape[-1], value.shape[-1]
    if torch.jit.is_tracing():  # MACs are those of the network, not of a device's kernels
        of_keys, of_values = width, depth
    elif query.device.type == "cpu":
        of_keys = of_values = max(width, depth)
    else:
        of_keys, of_values = (-(-each // WIDTHS) * WIDTHS for each in (width, depth))
        bias = bias if bias is None else bias.contiguous()
    query, key = (F.pad(part, (0, of_keys - width)) for part in (query, key))
    value = F.pad(value, (0, of_values - depth))
    return fused(query, key, value, bias, scale)[..., :depth]


def fused(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None, scale: float | None = None) -> Tensor:
    """PyTorch's attention (B, heads, L, D), (B, heads, S, D), (B, heads, S, E) -> (B, heads, L, E). NaN stays NaN.

    On a CPU, with fewer keys than lanes of a vector, PyTorch treats a row of scores that are all NaN as masked out and
    returns 0; and in half precision its exponential returns numbers where infinite scores should give NaN. In these
    cases a query that is not finite gives NaN here, and a key that is not finite gives NaN for all of its queries.
    """
    if query.device.type != "cpu" and query.shape[0] * query.shape[1] > BLOCKS:  # a GPU's grid of blocks is limited
        some = max(1, BLOCKS // query.shape[1])
        biases = [None] * -(-query.shape[0] // some) if bias is None or bias.shape[0] == 1 else bias.split(some)
        parts = zip(query.split(some), key.split(some), value.split(some), biases, strict=True)
        own = None if bias is None or bias.shape[0] != 1 else bias
        return torch.cat([fused(q, k, v, own if b is None else b, scale) for q, k, v, b in parts])
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    if query.device.type != "cpu":
        return mixed
    if torch.compiler.is_exporting():  # for any number of keys, and without the fused kernel's order in memory
        mixed = mixed.clone(memory_format=torch.contiguous_format)
    elif key.shape[-2] >= LANES and mixed.dtype in (torch.float32, torch.float64):
        return mixed
    with torch.no_grad():  # `lost` is 0 or NaN
        lost = (query * 0).sum(-1, keepdim=True) + (key * 0).sum((-2, -1), keepdim=True)
    return mixed + lost.to(mixed.dtype)


def usable(sums: Tensor) -> bool:
    """Whether sums of weights, computed without subtracting a maximum, are well within the range of float32."""
    least, most = (extreme.item() for extreme in sums.aminmax())
    return 2**-60 < least <= most < 2**100  # False if there is a NaN


def _tiled(query: Tensor) -> bool:
    if query.device.type != "cpu" or query.dtype not in (torch.float32, torch.float64):
        return False
    return not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


class _Tile(NamedTuple):
    """Some groups, some of their queries and some of their keys; `scores` is memory for their products."""

    rows: tuple[slice, slice]  # of (G, L, ...)
    columns: tuple[slice, slice]  # of (G, S, ...)
    first: bool  # of the tiles with these rows
    scores: Tensor


def _tiles(query: Tensor, key: Tensor) -> Iterator[_Tile]:
    """Tiles of query (G, L, D) and key (G, S, D), which share their memory; those of the same rows are consecutive."""
    (groups, length, _), sources = query.shape, key.shape[1]
    rows = min(length, max(PIECE // sources, 512))
    columns = min(sources, max(PIECE // rows, 512))
    several = PIECE // (length * sources)
    together = min(groups, max(1, several - several % 2))  # even, so that two cores share the work
    memory = query.new_empty(together, rows, columns)
    for group in range(0, groups, together):
        some = slice(group, group + together)
        for row in range(0, length, rows):
            for column in range(0, sources, columns):
                sizes = min(together, groups - group), min(rows, length - row), min(columns, sources - column)
                scores = memory.flatten()[: sizes[0] * sizes[1] * sizes[2]].view(sizes)
                yield _Tile((some, slice(row, row + rows)), (some, slice(column, column + columns)), not column, scores)


def _weights(tile: _Tile, query: Tensor, key: Tensor, scale: float) -> Tensor:
    """exp(scale · query keyᵀ) of a tile. 2^x is twice as fast as the exponential.

    No maximum is subtracted, which saves two passes and allows tiles to be added up. `usable` then checks that the sums
    of the weights are well within the range of float32.
    """
    keys = key[tile.columns].transpose(1, 2)
    scores = tile.scores
    return torch.baddbmm(scores, query[tile.rows], keys, beta=0, alpha=scale * LOG2_E, out=scores).exp2_()


def _attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """(G, L, D), (G, S, D), (G, S, E) -> attention (G, L, E), and the sums of its weights (G, L, 1)."""
    mixed = value.new_empty(*query.shape[:2], value.shape[2])
    sums = value.new_empty(*query.shape[:2], 1)
    for tile in _tiles(query, key):
        weights = _weights(tile, query, key, scale)
        if tile.first:
            torch.bmm(weights, value[tile.columns], out=mixed[tile.rows])
            torch.sum(weights, -1, keepdim=True, out=sums[tile.rows])
        else:
            mixed[tile.rows].baddbmm_(weights, value[tile.columns])
            sums[tile.rows].add_(weights.sum(-1, keepdim=True))
    return mixed.div_(sums), sums


class _WithGradient(torch.autograd.Function):
    """The results of `_attend` with their gradient, for which the weights are computed again, tile by tile."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, mixed: Tensor, sums: Tensor, scale: float
    ) -> Tensor:
        ctx.save_for_backward(query, key, value, mixed, sums)
        ctx.scale = scale
        return mixed.view_as(mixed)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mixed, sums = ctx.saved_tensors
        # For weights w, their sum s and output y: dv = wᵀ (dy / s); the scores' is w ((dy / s) vᵀ - (dy / s)·y).
        gradient = gradient / sums
        inner = -(gradient * mixed).sum(-1, keepdim=True)  # (G, L, 1)
        of_query, of_key, of_value = (torch.zeros(part.shape, dtype=part.dtype) for part in (query, key, value))
        memory: Tensor | None = None
        for tile in _tiles(query, key):
            weights = _weights(tile, query, key, ctx.scale)  # (g, l, s)
            outward = gradient[tile.rows]
            of_value[tile.columns].baddbmm_(weights.transpose(1, 2), outward)
            memory = torch.empty_like(weights) if memory is None or memory.shape != weights.shape else memory
            of_scores = torch.baddbmm(inner[tile.rows], outward, value[tile.columns].transpose(1, 2), out=memory)
            of_scores.mul_(weights)
            of_query[tile.rows].baddbmm_(of_scores, key[tile.columns], alpha=ctx.scale)
            of_key[tile.columns].baddbmm_(of_scores.transpose(1, 2), query[tile.rows], alpha=ctx.scale)
        return of_query, of_key, of_value, None, None, None
