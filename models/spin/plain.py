"""SPIN's operations in PyTorch, for every device, precision and width; `models.spin.ops` chooses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import attention
from models.grouping import Occurrences
from models.spin.configuration import EPSILON, ITERATIONS, Form
from models.spin.grid import Grid

if TYPE_CHECKING:
    from models.spin.attention import Projections
    from models.spin.network import FeedForward

_INDEX_MASK = 2**32 - 1


def associate(tokens: Tensor, start: Tensor, grid: Grid, form: Form) -> tuple[Tensor, Tensor]:
    """Soft k-means: tokens (B, N, C), first centroids (B, M, C) -> weights and scores, (B, M, 9, P)."""
    # Distances are taken relative to the home cell's start: |s|² - 2 x·s loses precision for large features.
    pixels = grid.gather(tokens) - start[:, :, None]  # (B, M, P, C)
    missing = torch.zeros(grid.exists.shape, dtype=tokens.dtype, device=tokens.device)
    missing = missing.masked_fill(~grid.exists, -torch.inf)  # (M, 9)
    own = pixels.square().sum(-1)[:, :, None] if form == "exp" else None  # (B, M, 1, P)
    centroids = start
    for iteration in range(ITERATIONS):
        around = centroids[:, grid.neighbours] - start[:, :, None]  # (B, M, 9, C)
        bias = missing - around.square().sum(-1)  # (B, M, 9)
        logits = torch.baddbmm(
            bias.flatten(0, 1)[..., None],
            around.flatten(0, 1),
            pixels.flatten(0, 1).transpose(1, 2),
            alpha=2,
        ).unflatten(0, bias.shape[:2])  # -d² plus the pixel's own |x|², which a softmax ignores
        if own is not None:
            logits = (logits - own).clamp(max=0)
        weights = logits.softmax(2) if own is None else logits.exp()
        if grid.inside is not None:
            weights = weights * grid.inside[:, None]
        if iteration < ITERATIONS - 1:
            total, weight = _sum(grid, weights, pixels, start)
            centroids = total / (weight + EPSILON)
    scores = logits.detach() if own is not None else log_odds(logits.detach(), dim=2)
    if grid.inside is not None:
        scores = scores.masked_fill(~grid.inside[:, None], -torch.inf)
    return weights, scores


def log_odds(logits: Tensor, dim: int) -> Tensor:
    """log A - log(1 - A) for A = softmax(logits), without forming A: it neither underflows nor saturates.

    That is each logit minus the logsumexp of the others; +inf where there are no others (A is 1 then).
    """
    largest, winner = logits.max(dim, keepdim=True)
    share = (logits - largest).exp()
    others = largest + (share.sum(dim, keepdim=True) - share).log()  # exact but for the largest itself
    rest = logits.scatter(dim, winner, -torch.inf)
    return logits - others.scatter(dim, winner, rest.logsumexp(dim, keepdim=True))


def _sum(grid: Grid, weights: Tensor, pixels: Tensor, offset: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Weighted sum of pixels per superpixel, (B, M, C), and its weight (B, M, 1), from nine partial sums a cell.

    `offset` (B, M, C) is what was subtracted from the pixels of each cell.
    """
    partial = weights @ pixels  # (B, M, 9, C)
    weight = weights.sum(-1, keepdim=True)  # (B, M, 9, 1)
    if offset is not None:
        partial = partial + weight * offset[:, :, None]
    # Gathered, not added by index, which a GPU does in an order that varies.
    total, mass = (grid.seen(part).masked_fill(~grid.exists[..., None], 0).sum(2) for part in (partial, weight))
    return total, mass


def superpixel_mean(tokens: Tensor, weights: Tensor, grid: Grid) -> Tensor:
    """Weighted mean of the pixels of each superpixel: (B, N, C), (B, M, 9, P) -> (B, M, C)."""
    total, weight = _sum(grid, weights.to(tokens.dtype), grid.gather(tokens))
    return total / (weight + EPSILON)


def top_pixels_of_cells(scores: Tensor, grid: Grid, count: int) -> Tensor:
    """Pixels of highest score of each superpixel: (B, M, 9, P) -> (B, M, count) long, in rising order."""
    scores = grid.seen(scores).masked_fill(~grid.exists[..., None], -torch.inf)
    pixels = grid.pixels[grid.neighbours]  # (M, 9, P)
    return top_pixels(scores.flatten(2), pixels.flatten(1), count)


def top_pixels(scores: Tensor, pixels: Tensor, count: int) -> Tensor:
    """The `count` pixels of highest score, equal scores in favour of the lower index, sorted by index.

    scores (B, M, K) and pixel indices (M, K) -> (B, M, count) long. One integer key per candidate holds both, so
    no two are equal and every device selects the same set. Scores are compared as float32. ONNX cannot read a float's
    bits, but a stable sort prefers the earlier of two equal scores: candidates are put in the order of their indices
    there.
    """
    if torch.compiler.is_exporting():
        pixels, order = pixels.sort(dim=-1)  # (M, K)
        ranked = scores.float().gather(2, order.expand(scores.shape)).sort(dim=-1, descending=True, stable=True)
        return pixels.expand(scores.shape).gather(2, ranked.indices[..., :count]).sort(dim=-1).values
    bits = (scores.float() + 0.0).view(torch.int32)  # + 0.0: -0.0 equals 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()  # integers in the order of the floats
    keys = ordered * (_INDEX_MASK + 1) + (_INDEX_MASK - pixels)
    best = keys.topk(count, dim=-1, sorted=False).values
    return (_INDEX_MASK - (best & _INDEX_MASK)).sort(dim=-1).values


def received(rows: Occurrences, projected: Tensor, of: Projections, shares: Tensor, own: bool) -> Tensor:
    """The outputs of attention within groups (G, n) of rows, plus their own values if `own`, times their shares (R).

    projected (R, D + D + C) -> (R, C).
    """
    query, key, of_groups = of.split(rows.gather(projected))
    mixed = attention(query, key, of_groups, of.scale)  # (G, n, C)
    value = of.split(projected)[2]
    total = rows.sums(mixed.to(value.dtype), value if own else torch.zeros_like(value))
    return total.mul_(shares[:, None].to(total.dtype))


def feed_forward(x: Tensor, ffn: FeedForward) -> Tensor:
    """The FFN with its residual: (B, N, C) -> (B, N, C)."""
    normal = ffn.norm(x)
    channel_gate = ffn.channel_excite(F.gelu(ffn.channel_squeeze(normal.mean(1)))).sigmoid()  # (B, C)
    # W [g n; p n] = (W₁ diag g) n + W₂ (p n): the channel gate goes into the weights, nothing is concatenated.
    of_channels, of_pixels = ffn.expand.weight.split(x.shape[-1], dim=1)  # (hidden, C) each
    gated = (of_channels * channel_gate[:, None]).transpose(1, 2).to(normal.dtype)  # (B, C, hidden)

    pixel_gate = ffn.pixel_excite(F.gelu(ffn.pixel_squeeze(normal))).sigmoid()  # (B, N, 1)
    wide = torch.baddbmm(ffn.expand.bias.to(normal.dtype), normal, gated)  # (B, N, hidden)
    wide = wide + F.linear(normal * pixel_gate, of_pixels)
    return x + ffn.reduce(F.gelu(wide))
