"""Local attribution maps (LAM): which pixels of the LR image a network draws on for a box of its result.

Gu, Dong: Interpreting Super-Resolution Networks with Local Attribution Maps, CVPR 2021. A path leads from a blurred
LR image to the LR image as the blur goes away, and a detector says how much gradient the result has in the box. The
attribution of a pixel is the integral, along the path, of the detector's derivative by the pixel times the pixel's
change. Together they make what the detector gains on the way, where it has derivatives at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from benchmarks.measure.cost import evaluating
from results.comparison import Box

# Blur, steps and box of the scripts by which papers draw these maps. Their kernel is 9x9; this one ends at 4 sigma.
SIGMA = 1.2  # of the blurred image, in LR pixels
STEPS = 50
BOX = 16  # edge, in pixels of the result
SIDE = 64  # edge of the part of an LR image that is looked at
PASS_PIXELS = SIDE**2  # LR pixels that go through a network together, all of its features being kept: 1 GiB for RCAN x4
SHARE = 0.9  # of all attribution, that the area of contribution holds
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Attribution:
    """What a network draws on for a box: for every value of the LR image, its share of what the detector gains."""

    signed: NDArray[np.float64]  # (3, h, w)
    start: float  # the detector at the blurred image
    end: float  # the detector at the image

    @property
    def amounts(self) -> NDArray[np.float64]:
        """Attribution of every LR pixel, (h, w): absolute values, summed over the channels."""
        return np.abs(self.signed).sum(0)

    @property
    def residual(self) -> float:
        """Sum of the signed attributions minus the detector's gain.

        It has two causes: steps that are too wide, and derivatives that a network does not have, as where it chooses
        pixels or masks. Only the first goes away with more steps.
        """
        return float(self.signed.sum() - (self.end - self.start))

    @property
    def diffusion_index(self) -> float:
        """100 (1 - Gini coefficient): near 0 where few pixels have all attribution, 100 where all have the same."""
        return 100 * (1 - gini(self.amounts))

    def area(self, share: float = SHARE) -> NDArray[np.bool_]:
        """The fewest pixels that together hold this share of all attribution, (h, w)."""
        amounts = self.amounts.ravel()
        order = np.argsort(-amounts, kind="stable")
        held = np.cumsum(amounts[order])
        inside = np.zeros(amounts.size, bool)
        inside[order[: np.searchsorted(held, share * held[-1]) + 1]] = True
        return inside.reshape(self.signed.shape[1:])


def attribute(
    model: nn.Module,
    lr: NDArray[np.uint8],
    box: Box,
    *,
    sigma: float = SIGMA,
    steps: int = STEPS,
    device: torch.device = _CPU,
    progress: Callable[[int, int, str], None] | None = None,
) -> Attribution:
    """Attribute the gradient in a box of the network's result to the pixels of `lr`, uint8 (h, w, 3).

    `box` is in pixels of the result, which is not clamped; `sigma` in LR pixels. Derivatives are taken in the middle of
    each step, at most PASS_PIXELS at a time, or one image. On the CPU results repeat to the bit. The network is left
    as it was. `progress` is called with steps done and steps in all.
    Raises ValueError for a box that is not in the result or has no gradient there, for a blur or steps that are not
    positive, and for an image that is too small for the network.
    """
    if not sigma > 0 or steps < 1:
        raise ValueError(f"sigma {sigma}, {steps} steps: expected both to be positive")
    image = lr.transpose(2, 0, 1) / 255

    def at(position: float) -> NDArray[np.float64]:
        """The path from 0 to 1."""
        return gaussian_filter(image, sigma * (1 - position), axes=(1, 2))

    signed = np.zeros(image.shape)
    together = max(1, PASS_PIXELS // (lr.shape[0] * lr.shape[1]))
    with evaluating(model, device):
        with torch.no_grad():
            start, end = (float(_gradient(model(_tensor([at(place)], device)), box)) for place in (0, 1))
        for first in range(0, steps, together):
            numbers = range(first, min(first + together, steps))
            with torch.enable_grad():
                x = _tensor([at((step + 0.5) / steps) for step in numbers], device).requires_grad_()
                (slopes,) = torch.autograd.grad(_gradient(model(x), box), x)
            changes = [at((step + 1) / steps) - at(step / steps) for step in numbers]
            signed += (slopes.double().cpu().numpy() * changes).sum(0)
            if progress:
                progress(numbers.stop, steps, "")
    if not np.isfinite(signed).all():
        raise ValueError(f"box {box}: the network's result or its derivatives are not finite")
    if not signed.any():
        raise ValueError(f"box {box}: the network's result is flat there, expected a box with some detail")
    return Attribution(signed, start, end)


def gini(amounts: NDArray[np.float64]) -> float:
    """Gini coefficient of amounts: the mean difference of all pairs over twice the mean.

    Amounts are not negative, and not all are 0. It is 0 where all are the same, 1 - 1/n where one of n has everything.
    """
    ordered = np.sort(amounts, axis=None)
    n = ordered.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def strongest_box(hr: NDArray[np.uint8], scale: int) -> Box:
    """The BOX x BOX pixels with most gradient of an HR image, uint8 (H, W, 3), of those that begin with an LR pixel.

    Gradient is what the detector measures; of equal boxes, the first. Raises ValueError for a smaller image.
    """
    height, width = hr.shape[:2]
    if min(height, width) < BOX:
        raise ValueError(f"{width}x{height} pixels: expected at least {BOX}x{BOX}")
    # in thousandths, whole numbers: equal boxes are equal whatever was summed before them
    lengths = _lengths(torch.from_numpy(hr.transpose(2, 0, 1).astype(np.float64))).sum(0).numpy()
    total = np.pad(np.rint(1000 * lengths).astype(np.int64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    n = BOX - 1
    sums = (total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n])[::scale, ::scale]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return Box(x=scale * int(left), y=scale * int(top), width=BOX, height=BOX)


def part_around(box: Box, width: int, height: int, scale: int) -> Box:
    """The part of an LR image that is looked at: SIDE x SIDE pixels, with the box as far in the middle as can be.

    Less where the image is smaller, more where the box, in pixels of the result, is larger.
    """
    x, columns = _span(box.x // scale, (box.x + box.width - 1) // scale + 1, width)
    y, rows = _span(box.y // scale, (box.y + box.height - 1) // scale + 1, height)
    return Box(x=x, y=y, width=columns, height=rows)


def check_detector_box(box: Box, width: int, height: int) -> None:
    """Raises ValueError for a box that is not within so many pixels, or has no gradient for want of neighbours."""
    if box.x + box.width > width or box.y + box.height > height:
        raise ValueError(f"box {box}: reaches outside of {width}x{height} pixels")
    if min(box.width, box.height) < 2:
        raise ValueError(f"box {box}: expected at least 2x2 pixels")


def _span(start: int, stop: int, whole: int) -> tuple[int, int]:
    size = min(whole, max(SIDE, stop - start))
    return min(max((start + stop) // 2 - size // 2, 0), whole - size), size


def _tensor(images: Sequence[NDArray[np.float64]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.stack(images).astype(np.float32)).to(device)


def _gradient(sr: Tensor, box: Box) -> Tensor:
    """The detector: lengths of the gradients within a box of (N, 3, H, W), summed over it, channels and images."""
    check_detector_box(box, sr.shape[3], sr.shape[2])
    return _lengths(sr[:, :, *box.place]).sum()


def _lengths(image: Tensor) -> Tensor:
    """Length of the gradient at every pixel with one below it and one to its right: (..., H, W) -> (..., H-1, W-1).

    Its derivative where it is 0 is taken as 0.
    """
    here = image[..., :-1, :-1]
    return torch.linalg.vector_norm(torch.stack([image[..., 1:, :-1] - here, image[..., :-1, 1:] - here]), dim=0)
