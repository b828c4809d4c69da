"""Images to be upscaled with all that belongs to their pixels: 8 or 16 bit, transparency, colour profile."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.data.images import SUFFIXES, DataError, has_alpha, is_deep, opened, upright

_PLANAR_CONFIGURATION = 0x011C  # tag of TIFF
_SWAPPED = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
Pixels = NDArray[Any]  # uint8 or uint16


@dataclass(frozen=True)
class Photo:
    """An image as it is to be seen. `alpha` is None if every pixel is opaque, `profile` if colours are as usual, sRGB.

    `remark` says what of the file is left out.
    """

    rgb: Pixels  # (H, W, 3), uint8 or uint16
    alpha: Pixels | None  # (H, W)
    profile: bytes | None  # an ICC profile of RGB
    remark: str


def read_photo(path: Path) -> Photo:
    """Read an image file of 8 or 16 bit per channel. DataError like `images.read_image`, but not for transparency."""
    with opened(path) as image:
        profile, remark = image.info.get("icc_profile"), ""
        if profile and profile[16:20] != b"RGB ":  # of the grey values, which become R = G = B
            profile, remark = None, "without its colour profile, which is not one of RGB"
        if is_deep(image):
            values = _sixteen_bit(image, path)
        elif has_alpha(image):
            values = np.array(upright(image).convert("RGBA"))
        else:
            values = np.array(upright(image).convert("RGB"))
    rgb, alpha = np.ascontiguousarray(values[:, :, :3]), values[:, :, 3:]
    opaque = bool((alpha == np.iinfo(alpha.dtype).max).all())  # also if there is no such channel
    return Photo(rgb, None if opaque else np.ascontiguousarray(alpha[:, :, 0]), profile or None, remark)


def images_in(folder: Path) -> list[Path]:
    """The image files of a folder, sorted; not those of its sub-folders, and no hidden ones. DataError for none."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    found = [file for file in files if not file.name.startswith(".")]
    if not found:
        raise DataError(f"{folder}: no images, expected some of {', '.join(SUFFIXES)}")
    return found


def _sixteen_bit(image: Image.Image, path: Path) -> NDArray[np.uint16]:
    """The values (H, W, 3 or 4) of an image of 16 bit per channel.

    Of colours Pillow keeps the first of two bytes, the higher one. With the order of bytes taken for the opposite one
    it keeps the lower one, so the file is decoded twice.
    """
    if "transparency" in image.info:
        raise DataError(f"{path}: 16 bit per channel with a transparent colour, expected an alpha channel")
    if image.mode.startswith("I;16"):
        grey = np.array(upright(image)).astype(np.uint16)
        return np.stack([grey] * 3, axis=2)
    planar = getattr(image, "tag_v2", {}).get(_PLANAR_CONFIGURATION) == 2
    if planar or not all(re.search("RGBA?;16[BLN]", str(tile.args)) for tile in getattr(image, "tile", ())):
        raise DataError(
            f"{path}: 16 bit per channel, stored in an unusual way, expected grey or RGB (convert it first)"
        )
    high = np.array(upright(image))
    with opened(path) as again:
        tiles: Any = again
        tiles.tile = [tile._replace(args=_swapped(tile.args)) for tile in tiles.tile]
        low = np.array(upright(again))
    return high.astype(np.uint16) << 8 | low


def _swapped(args: object) -> object:
    """The arguments of a decoder with the raw mode of the other order of bytes."""
    if isinstance(args, tuple):
        return tuple(map(_swapped, args))
    if isinstance(args, str):
        return re.sub(r"(?<=;16)[BLN]", lambda order: _SWAPPED[order[0]], args)
    return args
