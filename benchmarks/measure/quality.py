"""PSNR and SSIM as reported in the field (the RCAN protocol), and the known departures from it.

The protocol: SR rounded to 8 bit, luma of ITU-R BT.601 in studio range kept in float64, `scale` pixels cut
from each side, SSIM of Wang et al. (2004) over its valid region. A departure is one switch of `Convention`.

Two departures do not concern a single comparison and belong elsewhere: averages rounded up (`ceil`) to the reports
that display them, images upscaled as four overlapping parts (`quadrants`) to `evaluation`.
The mean over a set, including the treatment of an infinite PSNR, belongs to `results`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

Image = NDArray[Any]  # (H, W, 3) RGB or (H, W) grey
Planes = NDArray[np.float64]  # (C, H, W) in 0..255, the values that are compared

# Luma in thousandths: its sums over 8-bit values are exact, so Y and its rounding are the same everywhere
BT601 = np.array([65481.0, 128553.0, 24966.0])  # studio range: 219 steps from black to white, black at 16
PEAK = 255.0
C1, C2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
RADIUS = 5
WINDOW = np.exp(-(np.arange(-RADIUS, RADIUS + 1) ** 2) / (2 * 1.5**2))
WINDOW /= WINDOW.sum()


@dataclass(frozen=True)
class Convention:
    """The preparation of SR and HR for their comparison; the defaults are the RCAN protocol.

    `channel`: "y" is studio-range luma, "full-range" the same luma stretched to 0..255, "rgb" all three
    channels (one mean squared error over all of them; SSIM is the mean of the three).
    """

    round_sr: bool = True
    round_y: bool = False
    channel: Literal["y", "full-range", "rgb"] = "y"
    cut_border: bool = True


CONVENTIONS: Mapping[str, Convention] = MappingProxyType(
    {
        "rcan": Convention(),  # RCAN and most published tables
        "float": Convention(round_sr=False),  # the official SPIN code, which clamps SR but does not round it
        "y8": Convention(round_y=True),  # ESRT and HPINet, which round Y to 8 bit
        "rgb": Convention(channel="rgb"),  # evaluations without conversion to Y
        "full-range": Convention(channel="full-range"),  # evaluations with the luma of JPEG or OpenCV
        "no-border": Convention(cut_border=False),  # evaluations of the whole image
    }
)


def psnr(sr: Image, hr: Image, border: int) -> float:
    """Return the PSNR in dB of two uint8 images, (H, W, 3) or (H, W), `border` pixels cut from each side.

    The PSNR of identical images is infinite. A grey image is treated as R = G = B, so its luma is of studio range too.
    Raises ValueError for another dtype, different sizes, or a border that leaves no pixels.
    """
    return _psnr(*_eight_bit_luma(sr, hr, border))


def ssim(sr: Image, hr: Image, border: int) -> float:
    """Return the SSIM of two uint8 images, (H, W, 3) or (H, W), `border` pixels cut from each side.

    Raises ValueError like `psnr`, and if fewer than 11 x 11 pixels, the size of the window, remain.
    """
    return _ssim(*_eight_bit_luma(sr, hr, border))


def scores(sr: Image, hr: Image, scale: int, convention: str = "rcan") -> tuple[float, float]:
    """Return (PSNR in dB, SSIM) of SR against its uint8 HR image under a convention of `CONVENTIONS`.

    `sr` has the size of `hr` and is uint8, or floating point in [0, 1], clipped to this range.
    Raises ValueError like `psnr` and `ssim`, for NaN or infinite values, and for an unknown convention.
    """
    switches = find_convention(convention)
    if np.issubdtype(sr.dtype, np.floating):
        sr = _from_unit_range(sr, switches.round_sr)
    elif sr.dtype != np.uint8:
        raise ValueError(f"SR is {sr.dtype}, expected uint8, or floating point in [0, 1]")
    planes = _planes(sr, hr, scale if switches.cut_border else 0, switches)
    return _psnr(*planes), _ssim(*planes)


def eight_bit(sr: Image) -> NDArray[np.uint8]:
    """Return a floating-point image in [0, 1], clipped to this range, as uint8 with the rounding of the measurement.

    Raises ValueError for NaN or infinite values.
    """
    return _from_unit_range(sr, rounded=True).astype(np.uint8)


def sixteen_bit(sr: Image) -> NDArray[np.uint16]:
    """Return a floating-point image in [0, 1], clipped to this range, as uint16. Raises ValueError like `eight_bit`."""
    return np.rint(_from_unit_range(sr, rounded=False) * 257).astype(np.uint16)  # 255 * 257 = 65535


def find_convention(name: str) -> Convention:
    """Return the convention of this name. Raises ValueError, which names the known ones, for another name."""
    if name not in CONVENTIONS:
        raise ValueError(f"unknown convention {name!r}, expected one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[name]


def smallest_lr(scale: int, conventions: Sequence[str]) -> int:
    """The least edge of an LR image whose SR image is large enough for SSIM under those conventions that are known."""
    cut = any(CONVENTIONS[name].cut_border for name in conventions if name in CONVENTIONS)
    return -(-(2 * RADIUS + 1 + 2 * scale * cut) // scale)


def _eight_bit_luma(sr: Image, hr: Image, border: int) -> tuple[Planes, Planes]:
    if sr.dtype != np.uint8:
        raise ValueError(f"SR is {sr.dtype}, expected uint8 (scores() takes floating point)")
    return _planes(sr, hr, border, CONVENTIONS["rcan"])


def _from_unit_range(sr: Image, rounded: bool) -> NDArray[np.float64]:
    bad = sr.size - np.count_nonzero(np.isfinite(sr))
    if bad:
        raise ValueError(f"SR of {_size(sr)} has {bad} values that are NaN or infinite")
    # float64 first, so that 255 times a float32 value, and its rounding, is exact
    scaled = np.clip(PEAK * sr.astype(np.float64), 0.0, PEAK)
    return np.rint(scaled) if rounded else scaled


def _planes(sr: Image, hr: Image, border: int, convention: Convention) -> tuple[Planes, Planes]:
    """Check the two images and return the values that are compared."""
    if hr.dtype != np.uint8:
        raise ValueError(f"HR is {hr.dtype}, expected uint8")
    if sr.shape != hr.shape:
        raise ValueError(f"SR is {_size(sr)} and HR is {_size(hr)}, expected the same size")
    if not (hr.ndim == 2 or (hr.ndim == 3 and hr.shape[2] == 3)):
        raise ValueError(f"images are {_size(hr)}, expected (height)x(width)x3 or (height)x(width)")
    height, width = hr.shape[:2]
    if border < 0 or min(height, width) <= 2 * border:
        raise ValueError(f"cannot cut a border of {border} pixels from images of {_size(hr)}")
    inside = np.s_[border : height - border, border : width - border]
    return _channels(sr[inside], convention), _channels(hr[inside], convention)


def _channels(image: Image, convention: Convention) -> Planes:
    rgb = image.astype(np.float64)
    if convention.channel == "rgb":
        return np.moveaxis(np.atleast_3d(rgb), 2, 0)
    luma = rgb @ BT601 if rgb.ndim == 3 else rgb * BT601.sum()
    luma = luma / BT601.sum() if convention.channel == "full-range" else 16 + luma / (1000 * PEAK)
    return (np.floor(luma + 0.5) if convention.round_y else luma)[np.newaxis]


def _psnr(sr: Planes, hr: Planes) -> float:
    error = float(np.mean((sr - hr) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(PEAK**2 / error))


def _ssim(sr: Planes, hr: Planes) -> float:
    size = 2 * RADIUS + 1
    if min(sr.shape[1:]) < size:
        raise ValueError(f"SSIM needs {size}x{size} pixels, images are {_size(sr[0])} after the cut of the border")
    mean_sr, mean_hr = _windowed(sr), _windowed(hr)
    # the two variances occur only as their sum, so that four filterings suffice instead of five
    product = mean_sr * mean_hr
    squares = mean_sr**2 + mean_hr**2
    covariance = _windowed(sr * hr) - product
    variances = _windowed(sr**2 + hr**2) - squares
    similarity = (2 * product + C1) * (2 * covariance + C2) / ((squares + C1) * (variances + C2))
    return float(similarity.mean())


def _windowed(planes: Planes) -> Planes:
    """Return Gaussian-weighted means where the window fits: (C, H, W) -> (C, H - 10, W - 10)."""
    valid = slice(RADIUS, -RADIUS)
    rows = correlate1d(planes, WINDOW, axis=1)[:, valid]
    return correlate1d(rows, WINDOW, axis=2)[:, :, valid]


def _size(image: Image) -> str:
    return "x".join(map(str, image.shape))
