"""MATLAB's bicubic `imresize` for 8-bit images, byte for byte.

The point in which the usual floating-point ports differ: MATLAB rounds and clips to 8 bit after each of the two passes.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, isfinite
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Border = Literal["symmetric", "replicate"]

_BLOCK = 512  # columns worked on at a time: they stay in the processor's cache


def imresize(image: NDArray[np.uint8], factor: float | Fraction, border: Border = "symmetric") -> NDArray[np.uint8]:
    """Resize a uint8 image, (H, W) or (H, W, C), by `factor` to (ceil(H·factor), ceil(W·factor)).

    Factor 1/4 makes the LR image of x4, factor 4 is bicubic upsampling. A float such as 1/3 stands for the simple
    fraction it is nearest to. Border `symmetric` mirrors with the edge sample repeated (today's MATLAB),
    `replicate` repeats the edge sample (older MATLAB).
    Raises TypeError for another dtype, ValueError for another shape, an empty image, a factor that is not positive
    and finite, or an unknown border.
    """
    if image.dtype != np.uint8:
        raise TypeError(f"imresize: image of dtype {image.dtype}, expected uint8")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"imresize: image of shape {image.shape}, expected (H, W) or (H, W, C), not empty")
    if border not in get_args(Border):
        raise ValueError(f"imresize: border {border!r}, expected one of {', '.join(get_args(Border))}")
    exact = _exact(factor)
    rows, columns = (_weights(n, exact, border) for n in image.shape[:2])
    halfway = _resize_rows(image, rows)
    return np.ascontiguousarray(_resize_rows(halfway.swapaxes(0, 1), columns).swapaxes(0, 1))


def _exact(factor: float | Fraction) -> Fraction:
    """The fraction that is meant: ceil(n·factor) must not depend on the rounding of 1/3."""
    if not isfinite(factor) or factor <= 0:
        raise ValueError(f"imresize: factor {factor}, expected a positive finite number")
    simple = Fraction(factor).limit_denominator(1000)
    return simple if float(simple) == float(factor) else Fraction(factor)


def _weights(n: int, factor: Fraction, border: Border) -> csr_array:
    """Matrix (m, n) of one pass. A sample that several taps meet at the border has several entries.

    Rounding errors do not show: for 1/2 and 1/4 the sums are exact, for 1/3 they are multiples of 1/81, never ties.
    """
    scale = float(factor)
    shrink = min(scale, 1.0)  # the kernel is widened against aliasing, never narrowed
    position = np.arange(1, ceil(n * factor) + 1) / scale + 0.5 * (1 - 1 / scale)  # 1-based
    left = np.floor(position - 2 / shrink)
    taps = left[:, None] + np.arange(ceil(4 / shrink) + 2)
    weights = shrink * _cubic(shrink * (position[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    index = taps.astype(np.int64) - 1
    if border == "symmetric":
        index %= 2 * n
        index = np.minimum(index, 2 * n - 1 - index)
    else:
        index = index.clip(0, n - 1)
    row_starts = np.arange(len(taps) + 1) * taps.shape[1]
    matrix = csr_array((weights.ravel(), index.ravel(), row_starts), shape=(len(taps), n))
    matrix.eliminate_zeros()
    return matrix


def _cubic(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic kernel, a = -0.5."""
    t = np.abs(t)
    square = t * t
    cube = square * t
    near = 1.5 * cube - 2.5 * square + 1
    far = -0.5 * cube + 2.5 * square - 4 * t + 2
    return np.where(t <= 1, near, np.where(t <= 2, far, 0.0))


def _resize_rows(image: NDArray[np.uint8], weights: csr_array) -> NDArray[np.uint8]:
    """One pass along axis 0, rounded half up and clipped to 8 bit."""
    samples = image.reshape(len(image), -1)
    resized = np.empty((weights.shape[0], samples.shape[1]), np.uint8)
    for start in range(0, samples.shape[1], _BLOCK):
        block = slice(start, start + _BLOCK)
        summed = weights @ samples[:, block].astype(np.float64)
        summed += 0.5
        resized[:, block] = np.clip(summed, 0, 255, out=summed)  # the assignment truncates
    return resized.reshape(-1, *image.shape[1:])
