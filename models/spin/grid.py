"""The grid of cells that superpixels start from, and the nine cells that a pixel sees."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.layers import kept_per_shape


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

    def gather(self, tokens: Tensor) -> Tensor:
        """(B, N, C) -> (B, M, P, C); padding holds some pixel's features."""
        return tokens.index_select(1, self.pixels.flatten()).unflatten(1, self.pixels.shape)

    def seen(self, values: Tensor) -> Tensor:
        """What every cell's neighbours hold for it: (B, M, 9, ...) by cell and neighbour -> (B, M, 9, ...).

        Neighbour j of cell m has m as its own neighbour 8 - j. Where there is no neighbour, the entry has no meaning.
        """
        opposite = torch.arange(8, -1, -1, device=values.device)
        entries = (self.neighbours * 9 + opposite).flatten()  # (M·9)
        return values.flatten(1, 2).index_select(1, entries).unflatten(1, self.neighbours.shape)


@kept_per_shape(64)
def grid(height: int, width: int, size: int, device: torch.device) -> Grid:
    """The grid of an image for a superpixel size. Raises ValueError if the image is smaller than a cell."""
    if min(height, width) < size:
        raise ValueError(f"an image of {height}x{width} is smaller than the superpixel size {size}")
    rows, columns = height // size, width // size
    (tops, heights), (lefts, widths) = _cut(height, rows, device), _cut(width, columns, device)
    # Of positive numbers only: ONNX rounds a quotient towards zero.
    y = torch.arange((height + rows - 1) // rows, device=device)[:, None]  # within the tallest cell
    x = torch.arange((width + columns - 1) // columns, device=device)  # within the widest cell
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
        inside.reshape(pixels.shape) if torch.compiler.is_exporting() or height % rows or width % columns else None,
        neighbours.reshape(-1, 9),
        exists.reshape(-1, 9),
    )  # fmt: skip


def _cut(length: int, cells: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Starts and lengths, (cells) each, of the cells along an axis."""
    bounds = (torch.arange(cells + 1, device=device) * length + cells - 1) // cells
    return bounds[:-1], bounds[1:] - bounds[:-1]
