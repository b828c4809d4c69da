"""Reading of 8-bit images; other files are refused with a message of one line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation import SpinbenchError

READER = 1  # version of the reader, increased when the same file yields other pixels or another LR image
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")  # only those that Pillow decodes without an external program
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")


class DataError(SpinbenchError):
    """Data are missing, damaged or invalid. The message is one line that names them."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as RGB, uint8 of shape (H, W, 3).

    Grey images are converted to R = G = B, palettes to their colours. DataError for a file that is missing, damaged or
    not an image, and for images without an exact 8-bit RGB form: more than 8 bit per channel, transparency, other
    colour spaces, several frames.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.verify()  # checks the checksums of all chunks, unlike decoding, and closes the file
        with Image.open(path, formats=FORMATS) as image:
            _check(image, path)
            return np.array(image.convert("RGB"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected an image") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{path}: not an image, expected {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # the errors of Pillow's decoders
        raise DataError(f"{path}: damaged or unreadable image: {error}") from None


def _check(image: Image.Image, path: Path) -> None:
    # Pillow opens 16-bit RGB as RGB and drops the lower bytes; only the raw mode of the stored tiles shows it
    deep = any(re.search(";16[BLN]", str(tile.args)) for tile in getattr(image, "tile", ()))
    # of PPM it scales all values to 8 bit
    deep |= any(tile.codec_name.startswith("ppm") and tile.args[-1] > 255 for tile in getattr(image, "tile", ()))
    if deep or image.mode[0] in "IF":
        raise DataError(f"{path}: more than 8 bit per channel, expected 8 bit (convert it first)")
    if image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "PA"):
        raise DataError(f"{path}: colour mode {image.mode}, expected grey, palette or RGB")
    frames = getattr(image, "n_frames", 1)
    if frames != 1:
        raise DataError(f"{path}: {frames} frames, expected one image")
    # without an alpha channel, a palette entry or a colour can be declared transparent
    alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    if alpha and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        raise DataError(f"{path}: has transparent pixels, expected an opaque image")
