"""Superpixel association of SPIN (paper Section 3.1, Eq. 3 and 4): soft k-means on a grid of cells.

Every pixel sees the 3x3 cells around its home cell only, so pixels are laid out cell by cell,
(batch, M cells, P pixels of a cell, channels), and the nine associations of a pixel are (batch, M, 9, P):
the dense pixel-by-superpixel matrix never exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models import native
from models.layers import kept_per_shape, to_map, to_tokens, without_autocast
from models.native import functions, kernels

Form = Literal["softmax", "exp"]
EPSILON = 1e-16  # in the denominator of a superpixel's mean
ITERATIONS = 3  # associations computed, so two updates of the centroids
_INDEX_MASK = 2**32 - 1


@dataclass(frozen=True)
class Grid:
    """Cells of an image: which pixels lie in each, and which cells lie around it.

    Home cell of pixel (y, x): row floor(y·rows/H), column floor(x·columns/W). Cells may differ by one pixel in
    height and width; smaller ones are padded, and `inside` is False there. Neighbours are numbered 0 to 8
    row by row, the cell itself is 4.
    """

    height: int
    width: int
    rows: int
    columns: int
    pixels: Tensor  # (M, P) long, pixel index y·W + x; 0 where padded
    inside: Tensor | None  # (M, P) bool; None if no cell is padded
    neighbours: Tensor  # (M, 9) long, cell index; the cell itself where there is none
    exists: Tensor  # (M, 9) bool

    @property
    def cells(self) -> int:
        return self.rows * self.columns

    @property
    def smallest(self) -> int:
        """Pixels of the smallest cell."""
        return (self.height // self.rows) * (self.width // self.columns)

    @property
    def layout(self) -> kernels.Cells:
        return kernels.Cells(self.pixels, self.inside, self.neighbours, self.exists)

    def gather(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, M, P, C); padding holds some pixel's features."""
        return tokens.index_select(1, self.pixels.flatten()).unflatten(1, self.pixels.shape)


@kept_per_shape(64)
def grid(height: int, width: int, size: int, device: torch.device) -> Grid:
    """The grid of an image for a superpixel size. Raises ValueError if the image is smaller than a cell."""
    if min(height, width) < size:
        raise ValueError(f"an image of {height}x{width} is smaller than the superpixel size {size}")
    rows, columns = height // size, width // size
    (tops, heights), (lefts, widths) = _cut(height, rows, device), _cut(width, columns, device)
    y = torch.arange(-(-height // rows), device=device)[:, None]  # within the highest cell
    x = torch.arange(-(-width // columns), device=device)  # and the widest
    inside = (y < heights[:, None, None, None]) & (x < widths[:, None, None])  # (rows, columns, h, w)
    place = (tops[:, None, None, None] + y) * width + (lefts[:, None, None] + x)
    pixels = torch.where(inside, place, 0).reshape(rows * columns, -1)  # (M, P)

    step = torch.arange(-1, 2, device=device)
    row = torch.arange(rows, device=device)[:, None, None, None] + step[:, None]
    column = torch.arange(columns, device=device)[:, None, None] + step
    exists = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)  # (rows, columns, 3, 3)
    here = torch.arange(rows * columns, device=device).view(rows, columns, 1, 1)
    neighbours = torch.where(exists, row * columns + column, here)
    return Grid(
        height, width, rows, columns,
        pixels,
        inside.reshape(pixels.shape) if height % rows or width % columns else None,
        neighbours.reshape(-1, 9),
        exists.reshape(-1, 9),
    )  # fmt: skip


def _cut(length: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Starts and lengths, (cells) each, of the cells along an axis."""
    bounds = (torch.arange(cells + 1, device=device) * length + cells - 1) // cells
    return bounds[:-1], bounds[1:] - bounds[:-1]


class Sight(NamedTuple):
    """What a run of n pixels, in raster order, sees of the superpixels: K of them per pixel, in rising order."""

    superpixels: Tensor  # (n, K) long, -1 where there is none
    weights: Tensor  # (B, n, K), the association; 0 where there is none
    scores: Tensor  # (B, n, K), in the order of the association, also where it underflows; -inf where there is none


@dataclass(frozen=True)
class Association:
    """How strongly each pixel belongs to the nine superpixels it sees."""

    grid: Grid
    weights: Tensor  # (B, M, 9, P): pixel p of cell m to neighbour j of that cell; 0 where there is none
    scores: Tensor  # (B, M, 9, P): the order in which pixels are selected, without gradient; -inf where there is none

    def mean(self, tokens: Tensor) -> Tensor:
        """Weighted mean of the pixels of each superpixel (Eq. 4): (B, N, C) -> (B, M, C)."""
        if functions.association_fits(tokens) and native.ready(self.weights) and not self.weights.requires_grad:
            return functions.superpixel_mean(tokens, self.weights, self.grid.layout, EPSILON)
        total, weight = _sum(self.grid, self.weights.to(tokens.dtype), self.grid.gather(tokens))
        return total / (weight + EPSILON)

    def top(self, count: int) -> Tensor:
        """Pixels of highest score of each superpixel: (B, M, count) long, in rising pixel order.

        Equal scores go to the lower pixel index (ledger `ties`).
        """
        cells, grid = self.grid.cells, self.grid
        if native.ready(self.scores) and count <= grid.smallest:
            return kernels.top_pixels(self.scores, grid.layout, count)
        # Neighbour j of cell m sees m as its own neighbour 8 - j.
        opposite = torch.arange(8, -1, -1, device=self.scores.device)
        seen = (grid.neighbours * 9 + opposite).flatten()  # (M·9)
        scores = self.scores.flatten(1, 2).index_select(1, seen).unflatten(1, (cells, 9))  # (B, M, 9, P)
        scores = scores.masked_fill(~grid.exists[..., None], -torch.inf)
        pixels = grid.pixels[grid.neighbours]  # (M, 9, P)
        return top_pixels(scores.flatten(2), pixels.flatten(1), count)

    def by_pixel(self) -> Iterator[Sight]:
        """The association pixel by pixel, for who wants to look at it: all pixels at once, K = 9."""
        grid = self.grid
        inside = torch.ones_like(grid.pixels, dtype=torch.bool) if grid.inside is None else grid.inside
        order = grid.pixels[inside].argsort()  # raster order among the pixels as they lie in the cells
        seen = grid.neighbours.masked_fill(~grid.exists, -1)[:, None].expand(-1, grid.pixels.shape[1], -1)
        weights, scores = (part.transpose(2, 3)[:, inside][:, order] for part in (self.weights, self.scores))
        yield Sight(seen[inside][order], weights, scores)


def top_pixels(scores: Tensor, pixels: Tensor, count: int) -> Tensor:
    """The `count` pixels of highest score, equal scores in favour of the lower index, sorted by index.

    scores (B, M, K) and pixel indices (M, K) -> (B, M, count) long. One integer key per candidate holds both, so
    no two are equal and every device selects the same set. Scores are compared as float32.
    """
    bits = (scores.float() + 0.0).view(torch.int32)  # + 0.0: -0.0 equals 0.0
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()  # integers in the order of the floats
    keys = ordered * (_INDEX_MASK + 1) + (_INDEX_MASK - pixels)
    best = keys.topk(count, dim=-1, sorted=False).values
    return (_INDEX_MASK - (best & _INDEX_MASK)).sort(dim=-1).values


def associate(tokens: Tensor, grid: Grid, form: Form = "softmax") -> Association:
    """Soft k-means over the 3x3 neighbourhood: (B, N, C) -> Association. float32 at least, also in autocast.

    `softmax` of -d² over the nine (official code) or the bare `exp` of -d² (paper, Eq. 3).
    """
    with without_autocast(tokens.device):
        tokens = tokens if tokens.dtype == torch.float64 else tokens.float()
        start = starting_centroids(tokens, grid)  # (B, M, C)
        if form == "softmax" and not torch.is_grad_enabled() and functions.association_fits(tokens):
            return Association(grid, *kernels.associate(tokens, start.contiguous(), grid.layout, ITERATIONS))
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
        return Association(grid, weights, scores)


def starting_centroids(tokens: Tensor, grid: Grid) -> Tensor:
    """Adaptive average pooling to the grid: (B, N, C) -> (B, M, C)."""
    features = to_map(tokens, grid.height, grid.width)
    return to_tokens(F.adaptive_avg_pool2d(features, (grid.rows, grid.columns)))


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
    batch, cells = weights.shape[:2]
    partial = weights @ pixels  # (B, M, 9, C)
    weight = weights.sum(-1, keepdim=True)  # (B, M, 9, 1)
    if offset is not None:
        partial = partial + weight * offset[:, :, None]
    target = grid.neighbours.flatten()
    total = partial.new_zeros(batch, cells, partial.shape[-1]).index_add(1, target, partial.flatten(1, 2))
    mass = weight.new_zeros(batch, cells, 1).index_add(1, target, weight.flatten(1, 2))
    return total, mass
