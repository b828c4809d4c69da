"""MATLAB's bicubic `imresize` for images of 8 and 16 bit, byte for byte.

Unlike the usual floating-point ports, it rounds and clips to whole numbers after each of the two passes, as MATLAB
does.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, isfinite
from typing import Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Depth = TypeVar("Depth", np.uint8, np.uint16)
Border = Literal["symmetric", "replicate"]

_BLOCK = 192  # lines per step, which fit into the CPU cache; a power of 2 would cause cache conflicts


def imresize(image: NDArray[Depth], factor: float | Fraction, border: Border = "symmetric") -> NDArray[Depth]:
    """Resize a uint8 or uint16 image, (H, W) or (H, W, C), by `factor` to (ceil(H·factor), ceil(W·factor)).

    Factor 1/4 yields the LR image of x4, factor 4 is bicubic upsampling. A float such as 1/3 is replaced by the nearest
    simple fraction. Border `symmetric` mirrors the image, repeating the edge sample (current MATLAB); `replicate`
    repeats the edge sample (older MATLAB).
    Raises TypeError for another dtype, ValueError for another shape, an empty image, a factor that is not positive
    and finite, or an unknown border.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise TypeError(f"imresize: image of dtype {image.dtype}, expected uint8 or uint16")
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"imresize: image of shape {image.shape}, expected (H, W) or (H, W, C), not empty")
    if border not in get_args(Border):
        raise ValueError(f"imresize: border {border!r}, expected one of {', '.join(get_args(Border))}")
    exact = _exact(factor)
    rows, columns = (_weights(n, exact, border, 8 * image.itemsize) for n in image.shape[:2])
    planes = image.reshape(*image.shape[:2], -1)
    halfway = np.empty((planes.shape[1], rows.shape[0]), image.dtype)
    resized = np.empty((rows.shape[0], columns.shape[0], planes.shape[2]), image.dtype)
    for channel in range(planes.shape[2]):
        _pass(planes[:, :, channel], rows, halfway)
        _pass(halfway, columns, resized[:, :, channel])
    return resized.reshape(*resized.shape[:2], *image.shape[2:])


def _exact(factor: float | Fraction) -> Fraction:
    """The intended fraction: ceil(n·factor) must not depend on the rounding error of a float such as 1/3."""
    if not isfinite(factor) or factor <= 0:
        raise ValueError(f"imresize: factor {factor}, expected a positive finite number")
    simple = Fraction(factor).limit_denominator(1000)
    return simple if float(simple) == float(factor) else Fraction(factor)


def _weights(n: int, factor: Fraction, border: Border, bits: int) -> csr_array:
    """Matrix (m, n) of one pass. A border sample that several taps refer to has several entries.

    Rounding errors have no effect: for 1/2 and 1/4 the sums are exact, for 1/3 they are multiples of 1/81, never ties.
    """
    scale = float(factor)
    shrink = min(scale, 1.0)  # the kernel is widened against aliasing and never narrowed
    position = np.arange(1, ceil(n * factor) + 1) / scale + 0.5 * (1 - 1 / scale)  # 1-based
    left = np.floor(position - 2 / shrink)
    taps = left[:, None] + np.arange(ceil(4 / shrink) + 2)
    weights = shrink * _cubic(shrink * (position[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    if (
        bits == 8 and not (weights * 2**12 % 1).any()
    ):  # 1/2, 1/4, 2, 4: the sums over 8-bit samples are exact in float32 as well
        weights = weights.astype(np.float32)
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


def _pass(samples: NDArray[Depth], weights: csr_array, resized: NDArray[Depth]) -> None:
    """One pass along axis 0, rounded half up and clipped to its range: (n, k) to `resized` (k, m), transposed."""
    for start in range(0, samples.shape[1], _BLOCK):
        lines = slice(start, start + _BLOCK)
        summed = weights @ samples[:, lines].astype(weights.dtype)
        summed += 0.5
        resized[lines] = np.clip(summed, 0, np.iinfo(resized.dtype).max, out=summed).T  # the assignment truncates
