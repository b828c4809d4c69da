"""Local attribution maps (LAM): the contribution of each LR pixel to a box of a network's SR image.

Gu, Dong: Interpreting Super-Resolution Networks with Local Attribution Maps, CVPR 2021. A path leads from a blurred
LR image to the LR image by decreasing blur, and a detector measures the image gradient of SR in the box. The
attribution of a pixel is the integral, along the path, of the detector's derivative with respect to the pixel times the
change of the pixel. If the detector is differentiable, the attributions sum up to its increase along the path.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from benchmarks.measure.latency import evaluating
from results.comparison import Box

# Blur, steps and box of the published LAM scripts, whose kernel is 9x9; this one is truncated at 4 sigma.
SIGMA = 1.2  # of the blur at the start of the path, in LR pixels
STEPS = 50
BOX = 16  # edge, in SR pixels
SIDE = 64  # edge of the part of the LR image that is analysed
PASS_PIXELS = SIDE**2  # LR pixels per pass, whose features are all kept for the gradient: 1 GiB for RCAN x4
SHARE = 0.9  # of the total attribution, in the area of contribution
_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Attribution:
    """The attribution of every value of the LR image: its share of the increase of the detector."""

    signed: NDArray[np.float64]  # (3, h, w)
    start: float  # the detector at the blurred image
    end: float  # the detector at the image

    @property
    def amounts(self) -> NDArray[np.float64]:
        """Attribution of every LR pixel, (h, w): absolute values summed over the channels."""
        return np.abs(self.signed).sum(0)

    @property
    def residual(self) -> float:
        """Sum of the signed attributions minus the increase of the detector.

        It has two causes: the discretisation of the path, and discontinuities of a network, such as the selection of
        pixels or masks. Only the first decreases with the number of steps.
        """
        return float(self.signed.sum() - (self.end - self.start))

    @property
    def diffusion_index(self) -> float:
        """100 (1 - Gini coefficient): near 0 if few pixels have all attribution, 100 if it is uniform."""
        return 100 * (1 - gini(self.amounts))

    def area(self, share: float = SHARE) -> NDArray[np.bool_]:
        """Mask of the smallest set of pixels with this share of the total attribution, (h, w)."""
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
    """Attribute the image gradient in a box of SR to the pixels of `lr`, uint8 (h, w, 3).

    `box` is in SR pixels, `sigma` in LR pixels; SR is not clamped. Derivatives are computed at the midpoint of each
    step, for at most PASS_PIXELS pixels, or one image, at a time. On the CPU, results are reproducible to the bit. The
    network is not changed. `progress` is called with the number of finished steps and their total.
    Raises ValueError for a box that exceeds SR or has no gradient, for a sigma or number of steps that is not positive,
    and for an image that is too small for the network.
    """
    if not sigma > 0 or steps < 1:
        raise ValueError(f"sigma {sigma}, {steps} steps: expected both to be positive")
    image = lr.transpose(2, 0, 1) / 255

    def at(position: float) -> NDArray[np.float64]:
        """The image at a position of the path, from 0 (blurred) to 1 (LR)."""
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
        raise ValueError(f"box {box}: SR or its derivatives are not finite")
    if not signed.any():
        raise ValueError(f"box {box}: SR has no gradient there, expected a box with some detail")
    return Attribution(signed, start, end)


def gini(amounts: NDArray[np.float64]) -> float:
    """Gini coefficient: the mean absolute difference of all pairs divided by twice the mean.

    Amounts must not be negative or all 0. It is 0 if all are equal, and 1 - 1/n if only one of n is positive.
    """
    ordered = np.sort(amounts, axis=None)
    n = ordered.size
    return float((2 * np.arange(1, n + 1) - n - 1) @ ordered / (n * ordered.sum()))


def strongest_box(hr: NDArray[np.uint8], scale: int) -> Box:
    """The BOX x BOX pixels of an HR image, uint8 (H, W, 3), with the largest gradient, aligned with the LR pixels.

    The gradient is that of the detector; of equal boxes, the first is returned. Raises ValueError for a smaller image.
    """
    height, width = hr.shape[:2]
    if min(height, width) < BOX:
        raise ValueError(f"{width}x{height} pixels: expected at least {BOX}x{BOX}")
    # integers, in thousandths: with floats, the cumulative sums would make equal boxes unequal
    lengths = _lengths(torch.from_numpy(hr.transpose(2, 0, 1).astype(np.float64))).sum(0).numpy()
    total = np.pad(np.rint(1000 * lengths).astype(np.int64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    n = BOX - 1
    sums = (total[n:, n:] - total[:-n, n:] - total[n:, :-n] + total[:-n, :-n])[::scale, ::scale]
    top, left = np.unravel_index(sums.argmax(), sums.shape)
    return Box(x=scale * int(left), y=scale * int(top), width=BOX, height=BOX)


def part_around(box: Box, width: int, height: int, scale: int) -> Box:
    """The part of an LR image that is analysed: SIDE x SIDE pixels, with the box as close to the centre as possible.

    It is smaller for a smaller image, and larger for a box, given in SR pixels, that exceeds it.
    """
    x, columns = _span(box.x // scale, (box.x + box.width - 1) // scale + 1, width)
    y, rows = _span(box.y // scale, (box.y + box.height - 1) // scale + 1, height)
    return Box(x=x, y=y, width=columns, height=rows)


def check_detector_box(box: Box, width: int, height: int) -> None:
    """Raise ValueError for a box that exceeds `width` x `height` pixels, or is below the 2x2 pixels of a gradient."""
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
    """The detector: the norm of the gradient, summed over a box of (N, 3, H, W), the channels and the images."""
    check_detector_box(box, sr.shape[3], sr.shape[2])
    return _lengths(sr[:, :, *box.place]).sum()


def _lengths(image: Tensor) -> Tensor:
    """Norm of the gradient (forward differences): (..., H, W) -> (..., H-1, W-1).

    The derivative of a norm of 0 is defined as 0.
    """
    here = image[..., :-1, :-1]
    return torch.linalg.vector_norm(torch.stack([image[..., 1:, :-1] - here, image[..., :-1, 1:] - here]), dim=0)
