"""Crops of an image upscaled by several networks, as in Fig. 6 of the paper, and their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import uniform_filter

from benchmarks.data.pairs import Pair
from benchmarks.measure.quality import BT601, PEAK, RADIUS, eight_bit, psnr, ssim
from benchmarks.networks import Network
from benchmarks.pictures.named import PictureError, picture_name
from results import BASELINE
from results.comparison import Box, Comparison, ComparisonPanel, Quality

EDGE = 64  # HR pixels, of an automatically chosen box
LEAST = 2 * RADIUS + 1  # the window of SSIM
COLOURS = matplotlib.colormaps["magma"]  # its lightness is monotonic, so that it is readable in grey
OVERVIEW = 400  # pixels, the longer side
VIEW = 512  # HR pixels on each side, of the part that is shown beside the box: a page has every network's
CONVENTION = "rcan"  # that of benchmarks.measure.quality.psnr and ssim

Pixels = NDArray[np.uint8]  # (h, w, 3) RGB


class UpscaledImage(NamedTuple):
    """The SR image of a network: (scale h, scale w, 3), or smaller if it crops LR to a multiple."""

    network: Network
    sr: Pixels


def upscale_image(network: Network, lr: Pixels, device: torch.device) -> UpscaledImage:
    """Upscale an image as in the evaluation: whole, cropped first if the network requires it, rounded to 8 bit.

    Raises benchmarks.measure.tiling.TooLarge and the errors of `Network.module`.
    """
    return UpscaledImage(network, eight_bit(network.upscaler(device)(lr)))


def differing_image(frame: pd.DataFrame, scale: int, names: Sequence[str]) -> tuple[str, str]:
    """The image, as SET/NAME, with the largest range of PSNR over the given networks, and the rule of its choice.

    `frame` is that of `results.load`; PSNR is the mean over seeds. Only images that were measured with all networks are
    considered, and bicubic only beside a single network. Raises PictureError if no image was measured with two of them.
    """
    rows = frame[(frame.scale == scale) & (frame.convention == CONVENTION) & np.isfinite(frame.psnr.astype(float))]
    table = rows.pivot_table(index=["dataset", "image"], columns="variant", values="psnr", sort=False)
    known = [name for name in dict.fromkeys(names) if name in table]
    networks = [name for name in known if name != BASELINE]
    known = networks if len(networks) > 1 else known
    table = table[known].dropna()
    if len(known) < 2 or table.empty:
        raise PictureError(
            f"no image has measured results of two of {', '.join(names)} at x{scale}: expected an image to be named"
        )
    apart = table.max(axis=1) - table.min(axis=1)
    dataset, image = apart.idxmax()
    rule = (
        f"of {len(table)} measured images, the one on which {len(known)} methods are furthest apart "
        f"({apart.max():.2f} dB of PSNR)"
    )
    return f"{dataset}/{image}", rule


def differing_box(pair: Pair, scale: int, upscaled: Sequence[UpscaledImage]) -> tuple[Box, str]:
    """The box in which the networks differ most, by the mean variance of Y, and the rule of its choice.

    For a single network, or bicubic alone, it is the box with the largest difference to HR. The border that PSNR
    ignores is excluded. Raises PictureError for an image that is too small.
    """
    height, width = _common(pair, upscaled)
    size = [min(EDGE, side - 2 * scale) for side in (height, width)]
    if min(size) < LEAST:
        raise PictureError(f"{pair.name}: {width}x{height} pixels, expected at least {LEAST + 2 * scale} on each side")
    networks = [one.sr for one in upscaled if one.network.model != BASELINE] or [one.sr for one in upscaled]
    rule = "where the networks differ most: the mean variance of Y over them is the largest"
    if len(networks) == 1:
        networks.append(pair.hr)
        rule = "where the difference to HR is largest: its mean square on Y"
    lumas = np.stack([_luma(pixels[scale : height - scale, scale : width - scale]) for pixels in networks])
    means = uniform_filter(lumas.var(axis=0), size, mode="constant")
    inside = tuple(slice(n // 2, length - n + n // 2 + 1) for n, length in zip(size, means.shape, strict=True))
    y, x = np.unravel_index(np.argmax(means[inside]), means[inside].shape)
    return Box(x=int(x) + scale, y=int(y) + scale, width=size[1], height=size[0]), rule


def check_crop(box: Box, pair: Pair, upscaled: Sequence[UpscaledImage]) -> None:
    """Raise PictureError for a box that exceeds the image, or is too small for SSIM."""
    height, width = _common(pair, upscaled)
    if box.x + box.width > width or box.y + box.height > height:
        raise PictureError(f"box {box}: reaches outside of {pair.name}, {width}x{height} pixels")
    if min(box.width, box.height) < LEAST:
        raise PictureError(f"box {box}: expected at least {LEAST}x{LEAST} pixels, the window of SSIM")


def draw_comparison(
    image: str, image_rule: str, pair: Pair, scale: int, upscaled: Sequence[UpscaledImage], box: Box, box_rule: str
) -> tuple[Comparison, dict[str, Pixels]]:
    """The facts of a comparison, and its images by file name: views and crops at their resolution, error maps, the
    overview."""
    hr, shown = pair.hr[box.place], _around(box, pair, upscaled)
    errors = [np.abs(_luma(one.sr[box.place]) - _luma(hr)) for one in upscaled]
    largest = max(1, math.ceil(np.percentile(errors, 99)))  # with the maximum, a few pixels would darken all others
    images = {
        "overview.png": _overview(pair.hr, box),
        "hr-view.png": pair.hr[shown.place],
        "hr.png": hr,
        "lr.png": pair.lr.repeat(scale, axis=0).repeat(scale, axis=1)[box.place],
        "legend.png": _coloured(np.ones((8, 1)) * _RAMP),
    }
    panels = []
    for number, (one, error) in enumerate(zip(upscaled, errors, strict=True), start=1):
        stem = picture_name(f"{number:02}", one.network.name)
        images |= {
            f"{stem}-view.png": one.sr[shown.place],
            f"{stem}.png": one.sr[box.place],
            f"{stem}-error.png": _coloured(error / largest),
        }
        panels.append(
            ComparisonPanel(
                name=one.network.name,
                label=one.network.label,
                source=one.network.source,
                view=f"{stem}-view.png",
                crop=f"{stem}.png",
                error=f"{stem}-error.png",
                whole=_quality(one.sr, pair.hr[: one.sr.shape[0], : one.sr.shape[1]], scale),
                part=_quality(one.sr[box.place], hr, 0),
            )
        )
    comparison = Comparison(
        image=image,
        image_rule=image_rule,
        scale=scale,
        lr_origin=pair.lr_origin,
        size=(pair.hr.shape[1], pair.hr.shape[0]),
        box=box,
        box_rule=box_rule,
        shown=shown,
        overview="overview.png",
        view="hr-view.png",
        crop="hr.png",
        lr_crop="lr.png",
        legend="legend.png",
        largest_error=largest,
        panels=panels,
    )
    return comparison, images


_RAMP = np.linspace(0, 1, 256)


def _quality(sr: Pixels, hr: Pixels, border: int) -> Quality:
    decibels = psnr(sr, hr, border)
    return Quality(psnr=None if math.isinf(decibels) else decibels, ssim=ssim(sr, hr, border))


def _common(pair: Pair, upscaled: Sequence[UpscaledImage]) -> tuple[int, int]:
    """Height and width that all SR images cover."""
    height, width = zip(pair.hr.shape[:2], *(one.sr.shape[:2] for one in upscaled), strict=True)
    return min(height), min(width)


def _around(box: Box, pair: Pair, upscaled: Sequence[UpscaledImage]) -> Box:
    """The whole image, or as much as is shown of a large one, with the box in its middle as far as possible."""
    height, width = _common(pair, upscaled)
    x, right = _stretch(box.x, box.width, width)
    y, bottom = _stretch(box.y, box.height, height)
    return Box(x=x, y=y, width=right - x, height=bottom - y)


def _stretch(start: int, length: int, side: int) -> tuple[int, int]:
    """A stretch of a side of the image, with that of the box in its middle as far as possible."""
    shown = min(side, max(VIEW, length))
    first = min(max(0, start + length // 2 - shown // 2), side - shown)
    return first, first + shown


def _luma(pixels: Pixels) -> NDArray[np.float64]:
    """Y without its offset, which cancels in differences: 0 to 219."""
    return pixels.astype(np.float64) @ BT601 / (1000 * PEAK)


def _coloured(values: NDArray[np.float64]) -> Pixels:
    """Values as colours, clipped to [0, 1]."""
    return np.asarray(COLOURS(np.clip(values, 0, 1), bytes=True)[..., :3])


def _overview(hr: Pixels, box: Box) -> Pixels:
    """The reduced image, and the box as a white line between black ones, for any background."""
    factor = min(1.0, OVERVIEW / max(hr.shape[:2]))
    reduced = Image.fromarray(hr)
    reduced = reduced.resize([max(1, round(side * factor)) for side in reduced.size], Image.Resampling.LANCZOS)
    left, top = round(box.x * factor), round(box.y * factor)
    right, bottom = round((box.x + box.width) * factor) - 1, round((box.y + box.height) * factor) - 1
    draw = ImageDraw.Draw(reduced)
    for grow, colour in ((2, "black"), (1, "white"), (0, "white"), (-1, "black")):
        draw.rectangle((left - grow, top - grow, right + grow, bottom + grow), outline=colour)
    return np.array(reduced)
