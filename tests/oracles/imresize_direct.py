"""MATLAB's bicubic imresize twice: as its description reads, one tap at a time, and as NumPy says its M-code."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


def imresize(image: NDArray[np.uint8], factor: Fraction, border: str) -> NDArray[np.uint8]:
    """uint8 (H, W) or (H, W, C); first the rows, then the columns, 8 bit after each."""
    rows = np.apply_along_axis(_line, 0, image, factor, border)
    return np.apply_along_axis(_line, 1, rows, factor, border)


def imresize_by_lines(image: NDArray[np.uint8], factor: Fraction, border: str) -> NDArray[np.uint8]:
    """The same in NumPy as MATLAB's M-code goes: weights and indices of a dimension, then line by line of the output.

    Usable at the size of photographs, and so what the package's `imresize` is timed against.
    """
    for axis in (0, 1):
        samples = np.moveaxis(image, axis, 0)
        weights, indices = _contributions(len(samples), factor, border)
        resized = np.empty((len(weights), *samples.shape[1:]))
        for line, weight, index in zip(resized, weights, indices, strict=True):
            line[...] = np.sum(weight.reshape(-1, *[1] * (image.ndim - 1)) * samples[index], axis=0)
        image = np.moveaxis(np.clip(np.floor(resized + 0.5), 0, 255).astype(np.uint8), 0, axis)
    return image


def _contributions(n: int, factor: Fraction, border: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Weights and 0-based indices of the samples of each output line, (m, taps); taps without weight are left out."""
    f = float(factor)
    shrink = min(f, 1.0)
    u = np.arange(1, -(-n * factor.numerator // factor.denominator) + 1) / f + 0.5 * (1 - 1 / f)
    taps = np.floor(u - 4 / shrink / 2).astype(np.int64)[:, None] + np.arange(math.ceil(4 / shrink) + 2)
    weights = shrink * np.vectorize(_cubic)(shrink * (u[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    needed = weights.any(axis=0)
    return weights[:, needed], np.vectorize(_inside)(taps[:, needed], n, border) - 1


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
