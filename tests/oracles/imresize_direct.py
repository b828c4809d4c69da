"""MATLAB's bicubic imresize as its description reads: one sample, one tap at a time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def imresize(image: NDArray[np.uint8], factor: Fraction, border: str) -> NDArray[np.uint8]:
    """uint8 (H, W) or (H, W, C); first the rows, then the columns, 8 bit after each."""
    rows = np.apply_along_axis(_line, 0, image, factor, border)
    return np.apply_along_axis(_line, 1, rows, factor, border)


def _line(samples: NDArray[np.uint8], factor: Fraction, border: str) -> NDArray[np.uint8]:
    n, f = len(samples), float(factor)
    m = -(-n * factor.numerator // factor.denominator)
    shrink = f if f < 1 else 1.0
    out = []
    for x in range(1, m + 1):
        u = x / f + 0.5 * (1 - 1 / f)
        left = math.floor(u - 4 / shrink / 2)
        taps = [left + i for i in range(math.ceil(4 / shrink) + 2)]
        weights = np.array([shrink * _cubic(shrink * (u - tap)) for tap in taps])
        weights /= weights.sum()
        value = 0.0
        for tap, weight in zip(taps, weights.tolist(), strict=True):
            value += weight * int(samples[_inside(tap, n, border) - 1])
        out.append(min(max(math.floor(value + 0.5), 0), 255))
    return np.array(out, np.uint8)


def _cubic(t: float) -> float:
    t = abs(t)
    if t <= 1:
        return 1.5 * (t * t * t) - 2.5 * (t * t) + 1
    if t <= 2:
        return -0.5 * (t * t * t) + 2.5 * (t * t) - 4 * t + 2
    return 0.0


def _inside(tap: int, n: int, border: str) -> int:
    """1-based index of the sample that a tap reads."""
    if border == "replicate":
        return min(max(tap, 1), n)
    while not 1 <= tap <= n:
        tap = 1 - tap if tap < 1 else 2 * n + 1 - tap
    return tap
