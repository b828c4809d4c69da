"""Images too large for the memory: cut into overlapping tiles, or refused in time.

A tile is what the network sees at once. At inner edges its outer `halo` is only context and is thrown away; at the
edges of the image it has none, so that the network pads there as it does the whole image. If nothing beyond the halo
counts for a pixel, the tiles together are the whole result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from itertools import product
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.measure.cost import evaluating
from benchmarks.measure.evaluation import Upscale, network_upscale
from benchmarks.measure.memory import available, bytes_per_pixel
from foundation import SpinbenchError

HALO = 32  # LR pixels, for networks that see further than any halo
STEP = 16  # chosen tiles are a multiple of it: at a halo of 32 windows of 8 and 16 pixels stay where they were
RESULT_BYTES = 96  # per pixel of the result: its values, the sum of a self-ensemble, rounding
_PROBES = (32, 64, 128)  # edges of the images on which a reach is sought
_SAMPLE = 192  # edge of the part of an image on which the difference is measured
_SAME = 1e-5  # relative to the largest value
_HOST = torch.device("cpu")

Tile = int | Literal["auto", "off"]


class TooLarge(SpinbenchError):
    """An image for which there is not enough memory; one line with what it needs and what there is."""


def tiled(
    upscale: Upscale, tile: int, halo: int, scale: int, on_tile: Callable[[int, int], None] | None = None
) -> Upscale:
    """Return an upscaler that works in tiles of at most `tile` x `tile` LR pixels, `halo` of them context.

    An image that is no larger goes through whole. `on_tile` is called after each tile, with how many are done and
    how many there are. Raises ValueError for a negative halo, or a tile that is nothing but halo.
    """
    if halo < 0 or tile <= 2 * halo:
        raise ValueError(f"tile {tile}: expected more than {2 * halo}, twice the halo")

    def upscale_in_tiles(lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = lr.shape[:2]
        result = np.empty((scale * height, scale * width, 3), np.float32)
        tiles = list(product(_spans(height, tile, halo), _spans(width, tile, halo)))
        for done, ((top, bottom, rows), (left, right, columns)) in enumerate(tiles, start=1):
            sr = upscale(np.ascontiguousarray(lr[top:bottom, left:right]))
            result[_enlarged(rows, 0, scale), _enlarged(columns, 0, scale)] = sr[
                _enlarged(rows, top, scale), _enlarged(columns, left, scale)
            ]
            if on_tile:
                on_tile(done, len(tiles))
        return result

    return upscale_in_tiles


def _spans(length: int, tile: int, halo: int) -> list[tuple[int, int, slice]]:
    """Tiles along a side: where each starts and stops, and what is kept of it. The last one may be shorter."""
    spans = []
    for start in range(0, length, tile - 2 * halo):
        stop = min(start + tile, length)
        spans.append((start, stop, slice(start + halo if start else 0, stop - halo if stop < length else length)))
        if stop == length:
            break
    return spans


def _enlarged(kept: slice, start: int, scale: int) -> slice:
    return slice(scale * (kept.start - start), scale * (kept.stop - start))


def reach(model: nn.Module, scale: int, least: int = 1) -> int | None:
    """How far from a pixel of the result, in LR pixels, the input still counts; None if there is no such bound.

    One pixel of a small image is not a number: whatever depends on it is none either. No bound means: more than 62
    pixels, or another result in another place, as of windows, strides and superpixels. `least` is the smallest input.
    Runs on the CPU, where an index that became nonsense is no disaster.
    """
    with evaluating(model, _HOST), torch.inference_mode():
        for side in (side for side in _PROBES if side > least):
            image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
            marked, centre = image.clone(), side // 2
            marked[..., centre, centre] = torch.nan
            places = model(marked)[0].isnan().any(0).nonzero() // scale
            radius = int((places - centre).abs().max())
            if radius > centre - 2:  # as far as this image goes
                continue
            kept = scale * radius
            expected, found = model(image)[..., scale + kept :, scale + kept :], model(image[..., 1:, 1:])
            error = (found[..., kept:, kept:] - expected).abs().max()
            if error <= _SAME * expected.abs().max():  # else it also sees what lies outside of so small an image
                return radius
    return None


def difference(upscale: Upscale, lr: NDArray[np.uint8], halo: int, scale: int) -> tuple[float, float]:
    """What tiles change on an image, cut in halves: the largest and the root mean square difference from the whole."""
    tile = math.ceil(max(lr.shape[:2]) / 2) + halo
    change = tiled(upscale, tile, halo, scale)(lr) - upscale(lr)
    return float(np.abs(change).max()), float(np.sqrt(np.mean(change**2)))


class Fitted:
    """A network's upscaler that takes images whole, or in tiles where the memory asks for it.

    `tile` is "auto", "off" (always whole) or the edge of a tile in LR pixels; `least` is the network's smallest
    input. `say` is told whether images are taken whole or in tiles, whenever that changes, and of a network that sees
    further than the halo, what difference tiles make. Calling it raises TooLarge for an image that does not fit in
    the way asked for, and ValueError for a tile that is nothing but halo.
    """

    def __init__(
        self,
        model: nn.Module,
        scale: int,
        device: torch.device,
        *,
        least: int = 1,
        tile: Tile = "auto",
        say: Callable[[str], None],
        on_tile: Callable[[int, int], None] | None = None,
        memory: Callable[[torch.device], int] = available,
    ) -> None:
        self.scale, self.tile = scale, tile
        self._model, self._device, self._least = model, device, least
        self._say, self._on_tile, self._memory = say, on_tile, memory
        self._whole = network_upscale(model, device)
        self._said: tuple[int | None, ...] = ()

    def __call__(self, lr: NDArray[np.uint8]) -> NDArray[np.float32]:
        height, width = lr.shape[:2]
        room = self._room(height, width)
        edge = self._edge(height, width, room)
        try:
            if self._said != (edge,):
                self._say(f"images are taken {self._manner(lr, edge, room)}")
                self._said = (edge,)
            if edge is None:
                return self._whole(lr)
            return tiled(self._whole, edge, self._halo, self.scale, self._on_tile)(lr)
        except torch.OutOfMemoryError as error:  # of a GPU that others use as well
            raise TooLarge(f"{self._takes(height, width, room)}, of which another program has taken some") from error

    @cached_property
    def _pixel_bytes(self) -> float:
        return bytes_per_pixel(self._model, self._device, self._least)

    @cached_property
    def _reach(self) -> int | None:
        return reach(self._model, self.scale, self._least)

    @cached_property
    def _halo(self) -> int:
        # the last tile has more than two halos, and must not be too small for the network
        return max(HALO if self._reach is None else self._reach, self._least // 2)

    def _room(self, height: int, width: int) -> float:
        """Bytes for the network's pass, once there is room for the result."""
        result = height * width * self.scale**2 * RESULT_BYTES
        host = self._memory(_HOST)
        if result > host:
            raise TooLarge(f"{height}x{width} at x{self.scale}: the result takes {_text(result)} of {_text(host)}")
        return host - result if self._device.type == "cpu" else self._memory(self._device)

    def _edge(self, height: int, width: int, room: float) -> int | None:
        """Edge of the tiles for an image; None: whole."""
        whole = self.tile == "off" or (isinstance(self.tile, int) and max(height, width) <= self.tile)
        if height * width * self._pixel_bytes <= room and (whole or self.tile == "auto"):
            return None
        if whole:
            raise TooLarge(self._takes(height, width, room))
        if isinstance(self.tile, int):
            edge = least = self.tile
        else:
            edge, least = _square(room, self._pixel_bytes) // STEP * STEP, 2 * self._halo + STEP
        if least**2 * self._pixel_bytes > room:
            raise TooLarge(f"{height}x{width}: even {self._takes(least, least, room)}")
        return edge

    def _takes(self, height: int, width: int, room: float) -> str:
        return f"{height}x{width} takes up to {_text(height * width * self._pixel_bytes)} of {_text(room)}"

    def _manner(self, lr: NDArray[np.uint8], edge: int | None, room: float) -> str:
        height, width = lr.shape[:2]
        if edge is None:
            return f"whole ({self._takes(height, width, room)})"
        tiles = f"in tiles of {edge}x{edge}, halo {self._halo} (whole, {self._takes(height, width, room)})"
        if self._reach is not None:
            return f"{tiles}; nothing beyond the halo counts, the result is that of the whole image"
        # as much of the middle as can be taken whole
        side = min(_SAMPLE, _square(room, self._pixel_bytes))
        rows, columns = (slice(max(0, (n - side) // 2), (n + side) // 2) for n in (height, width))
        sample = lr[rows, columns]
        most, typical = difference(self._whole, sample, self._halo, self.scale)
        return (
            f"{tiles}; the network sees further: in the middle {sample.shape[0]}x{sample.shape[1]}, cut in halves, "
            f"values change by up to {255 * most:.2f}/255 (root mean square {255 * typical:.3f}/255)"
        )


def _square(room: float, pixel_bytes: float) -> int:
    """Edge of the largest square image for which there is room."""
    return math.isqrt(int(room / pixel_bytes))


def _text(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
