"""PSNR and SSIM of the RCAN protocol in plain NumPy, step by step as specs/metrics.md lists them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def luma(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """Y of BT.601 in studio range; values in 0..255, (H, W, 3) or grey (H, W)."""
    rgb = image.astype(np.float64)
    if rgb.ndim == 2:
        rgb = np.stack([rgb, rgb, rgb], axis=2)
    return 16 + (65.481 * rgb[:, :, 0] + 128.553 * rgb[:, :, 1] + 24.966 * rgb[:, :, 2]) / 255


def luma_8_bit(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """The same Y rounded to 8 bit, halves upwards, in integers: free of rounding errors. (H, W, 3) only."""
    red, green, blue = np.moveaxis(image.astype(np.int64), 2, 0)
    thousandths = 65481 * red + 128553 * green + 24966 * blue
    return (16 + (2 * thousandths + 255_000) // 510_000).astype(np.float64)


def cut(plane: NDArray[np.float64], border: int) -> NDArray[np.float64]:
    return plane[border : plane.shape[0] - border, border : plane.shape[1] - border]


def psnr(sr: NDArray[np.float64], hr: NDArray[np.float64]) -> float:
    """PSNR in dB of two planes."""
    return float(10 * np.log10(255**2 / np.mean((sr - hr) ** 2)))


def ssim(sr: NDArray[np.float64], hr: NDArray[np.float64]) -> float:
    """SSIM of two planes: five moments, each the 11 x 11 window applied in full."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def moment(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = plane.shape[0] - 10, plane.shape[1] - 10
        total = np.zeros((height, width))
        for row in range(11):
            for column in range(11):
                total += window[row, column] * plane[row : row + height, column : column + width]
        return total

    mu_sr, mu_hr = moment(sr), moment(hr)
    var_sr = moment(sr * sr) - mu_sr**2
    var_hr = moment(hr * hr) - mu_hr**2
    covariance = moment(sr * hr) - mu_sr * mu_hr
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    numerator = (2 * mu_sr * mu_hr + c1) * (2 * covariance + c2)
    return float(np.mean(numerator / ((mu_sr**2 + mu_hr**2 + c1) * (var_sr + var_hr + c2))))
