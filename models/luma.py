"""Common parts of the networks of 2014 to 2016, which enlarge luma only; bicubic interpolation enlarges the colours.

Luma is Y of ITU-R BT.601 in studio range, MATLAB's, in which those networks were trained and the tables are measured.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def luma(rgb: Tensor) -> Tensor:
    """RGB in [0, 1], (N, 3, H, W) -> Y, (N, 1, H, W): 16/255 where black, 235/255 where white."""
    red, green, blue = rgb.split(1, dim=1)
    return (16 + 65.481 * red + 128.553 * green + 24.966 * blue) / 255


def with_luma(rgb: Tensor, y: Tensor) -> Tensor:
    """The image (N, 3, H, W) with Y replaced by `y` (N, 1, H, W), its Cb and Cr as they were.

    At the same Cb and Cr a step of Y is the same step of red, green and blue, 255/219 as long.
    """
    return rgb + (y - luma(rgb)) * (255 / 219)


def bicubic(x: Tensor, scale: int) -> Tensor:
    """(N, C, H, W) -> (N, C, scale·H, scale·W), as MATLAB enlarges, but in floating point.

    Beyond the border the edge pixel is repeated, as in the MATLAB of those years.
    """
    x = F.pad(x, (2, 2, 2, 2), mode="replicate")
    # `antialias` selects MATLAB's cubic (a = -0.5 instead of -0.75); it has no other effect when enlarging.
    x = F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True)
    return x[..., 2 * scale : -2 * scale, 2 * scale : -2 * scale]
