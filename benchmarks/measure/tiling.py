"""Tiling of images that exceed the memory, with an error if even a tile does not fit.

A tile is the input of one forward pass. At inner edges its outer `halo` serves as context, and its result is
discarded; at the edges of the image there is no halo, so that the network pads there as for the whole image. If the
receptive field does not exceed the halo, the tiles yield the result of the whole image.
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

from benchmarks.measure.evaluation import Upscale, network_upscale
from benchmarks.measure.latency import evaluating
from benchmarks.measure.memory import available, bytes_per_pixel
from foundation import SpinbenchError

HALO = 32  # LR pixels, for networks whose receptive field exceeds any halo
STEP = 16  # of automatic tile sizes: with a halo of 32, windows of 8 and 16 pixels keep their positions
RESULT_BYTES = 96  # per pixel of SR: its values, the sum of a self-ensemble, rounding
_PROBES = (32, 64, 128)  # edges of the images from which the receptive field is measured
_SAMPLE = 192  # edge of the part of an image on which the difference due to tiling is measured
_SAME = 1e-5  # tolerance relative to the largest value
_HOST = torch.device("cpu")

Tile = int | Literal["auto", "off"]


class TooLarge(SpinbenchError):
    """An image that exceeds the memory; one line with the required and the available memory."""


def tiled(
    upscale: Upscale, tile: int, halo: int, scale: int, on_tile: Callable[[int, int], None] | None = None
) -> Upscale:
    """Return an upscaler that works in tiles of at most `tile` x `tile` LR pixels, including a halo of `halo` pixels.

    An image of at most this size is upscaled whole. After each tile, `on_tile` is called with the number of finished
    tiles and their total. Raises ValueError for a negative halo, or a tile of at most twice the halo.
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
    """The tiles along a side: start, stop, and the part whose result is kept. The last one may be shorter."""
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
    """Radius of the network's receptive field in LR pixels; None if it is not bounded.

    One pixel of a small image is set to NaN, which propagates to every pixel of SR that depends on it. None means a
    radius above 62 pixels, or a result that changes under translation, as with windows, strides and superpixels.
    `least` is the smallest input. This runs on the CPU: an invalid index computed from NaN would make a GPU unusable.
    """
    with evaluating(model, _HOST), torch.inference_mode():
        for side in (side for side in _PROBES if side > least):
            image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
            marked, centre = image.clone(), side // 2
            marked[..., centre, centre] = torch.nan
            places = model(marked)[0].isnan().any(0).nonzero() // scale
            radius = int((places - centre).abs().max())
            if radius > centre - 2:  # limited by the size of this image
                continue
            kept = scale * radius
            expected, found = model(image)[..., scale + kept :, scale + kept :], model(image[..., 1:, 1:])
            error = (found[..., kept:, kept:] - expected).abs().max()
            if error <= _SAME * expected.abs().max():  # otherwise the receptive field exceeds this image
                return radius
    return None


def difference(upscale: Upscale, lr: NDArray[np.uint8], halo: int, scale: int) -> tuple[float, float]:
    """The largest and the root mean square difference between an image in halves and the whole image."""
    tile = math.ceil(max(lr.shape[:2]) / 2) + halo
    change = tiled(upscale, tile, halo, scale)(lr) - upscale(lr)
    return float(np.abs(change).max()), float(np.sqrt(np.mean(change**2)))


class Fitted:
    """A network's upscaler that processes images whole, or in tiles if they exceed the memory.

    `tile` is "auto", "off" (always whole) or the edge of a tile in LR pixels; `least` is the network's smallest
    input. `say` reports whether images are processed whole or in tiles, whenever that changes, and, if the receptive
    field exceeds the halo, the difference due to tiling. Calling it raises TooLarge for an image that exceeds the
    memory under this setting, and ValueError for a tile of at most twice the halo.
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
                self._say(f"images are processed {self._manner(lr, edge, room)}")
                self._said = (edge,)
            if edge is None:
                return self._whole(lr)
            return tiled(self._whole, edge, self._halo, self.scale, self._on_tile)(lr)
        except torch.OutOfMemoryError as error:  # of a GPU that other programs use as well
            raise TooLarge(f"{self._takes(height, width, room)}, of which another program has taken some") from error

    @cached_property
    def _pixel_bytes(self) -> float:
        return bytes_per_pixel(self._model, self._device, self._least)

    @cached_property
    def _reach(self) -> int | None:
        return reach(self._model, self.scale, self._least)

    @cached_property
    def _halo(self) -> int:
        # the last tile has more than two halos, and must not be below the network's smallest input
        return max(HALO if self._reach is None else self._reach, self._least // 2)

    def _room(self, height: int, width: int) -> float:
        """Memory in bytes that the result leaves for the pass. Raises TooLarge if the result does not fit."""
        result = height * width * self.scale**2 * RESULT_BYTES
        host = self._memory(_HOST)
        if result > host:
            raise TooLarge(f"{height}x{width} at x{self.scale}: the result takes {_text(result)} of {_text(host)}")
        return host - result if self._device.type == "cpu" else self._memory(self._device)

    def _edge(self, height: int, width: int, room: float) -> int | None:
        """Edge of the tiles for an image, or None for the whole image."""
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
            return f"{tiles}; the receptive field does not exceed the halo, so the result is that of the whole image"
        # the largest part of the centre that can be processed whole
        side = min(_SAMPLE, _square(room, self._pixel_bytes))
        rows, columns = (slice(max(0, (n - side) // 2), (n + side) // 2) for n in (height, width))
        sample = lr[rows, columns]
        most, typical = difference(self._whole, sample, self._halo, self.scale)
        return (
            f"{tiles}; the receptive field exceeds the halo: in the central {sample.shape[0]}x{sample.shape[1]}, cut "
            f"in halves, values change by up to {255 * most:.2f}/255 (root mean square {255 * typical:.3f}/255)"
        )


def _square(room: float, pixel_bytes: float) -> int:
    """Edge of the largest square image whose pass fits into `room` bytes."""
    return math.isqrt(int(room / pixel_bytes))


def _text(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB"
