"""Reading of images, turned as they are to be seen; what cannot be read exactly is refused in one line."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from foundation import SpinbenchError

# Version of the reader, increased when files of the registered sets yield other pixels or other LR images. None of them
# has an EXIF orientation; a user's file that has one says so in the content by which it is identified (`is_turned`).
READER = 1
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM")  # only those that Pillow decodes without an external program
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
_ORIENTATION, _BITS_PER_SAMPLE = 0x0112, 0x0102  # tags of EXIF and TIFF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_METADATA = (b"eXIf", b"Raw profile type", b"com.adobe.xmp")  # where a PNG may have an orientation


class DataError(SpinbenchError):
    """Data are missing, damaged or invalid. The message is one line that names them."""


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as RGB, uint8 of shape (H, W, 3), turned as its EXIF orientation says.

    Grey images are converted to R = G = B, palettes to their colours; of a phone's MPO file the first picture is read.
    DataError for a file that is missing, damaged or not an image, and for images without an exact 8-bit RGB form: more
    than 8 bit per channel, transparency, other colour spaces, several frames.
    """
    with opened(path) as image:
        if is_deep(image):
            raise DataError(f"{path}: more than 8 bit per channel, expected 8 bit (convert it first)")
        if has_alpha(image) and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise DataError(f"{path}: has transparent pixels, expected an opaque image")
        return np.array(upright(image).convert("RGB"))


def is_turned(path: Path) -> bool:
    """Whether reading turns the pixels of a file by its EXIF orientation; False for a file that is no image.

    Not for TIFF, which every version of the reader has turned.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.format == "TIFF":
                return False
            # without metadata before its pixels, Pillow would decode a PNG to find some after them
            if image.format == "PNG" and not any(mark in path.read_bytes() for mark in _PNG_METADATA):
                return False
            return _orientation(image) in _UPRIGHT
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        return False


def upright(image: Image.Image) -> Image.Image:
    """The image, turned as its EXIF orientation says."""
    image.load()  # a TIFF is turned by it, and has no orientation left
    method = _UPRIGHT.get(_orientation(image))
    return image if method is None else image.transpose(method)


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, KeyError, struct.error):  # damaged metadata, which do not concern the pixels
        return 1
    return found if isinstance(found, int) else 1


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image file whose kind can be read: grey, palette or RGB, one frame, undamaged as far as checksums tell.

    DataError for other files, also for what Pillow's decoders raise inside the context.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            image.verify()  # checks the checksums of all chunks, unlike decoding, and closes the file
        with Image.open(path, formats=FORMATS) as image:
            _check(image, path)
            yield image
    except FileNotFoundError:
        raise DataError(f"{path}: no such file, expected an image") from None
    except Image.UnidentifiedImageError:
        raise DataError(f"{path}: {_kind(path)}, expected {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{path}: too large: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # the errors of Pillow's decoders
        raise DataError(f"{path}: damaged or unreadable image: {error}") from None


def is_deep(image: Image.Image) -> bool:
    """Whether an image has 16 bit per channel.

    Pillow opens 16-bit RGB as RGB and drops the lower bytes; only the raw mode of the stored tiles shows it, or a
    TIFF's own word.
    """
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,))
    raw_modes = (str(tile.args) for tile in getattr(image, "tile", ()))
    ppm = (tile for tile in getattr(image, "tile", ()) if tile.codec_name.startswith("ppm"))  # scaled to 8 bit
    return (
        image.mode.startswith("I;16")
        or 16 in bits
        or any(re.search(";16[BLN]", mode) for mode in raw_modes)
        or any(tile.args[-1] > 255 for tile in ppm)
    )


def has_alpha(image: Image.Image) -> bool:
    """Whether pixels may be transparent: by a channel, a palette entry, or a colour that is declared transparent."""
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _check(image: Image.Image, path: Path) -> None:
    if not is_deep(image) and image.mode[0] in "IF":
        kind = "floating-point values" if image.mode[0] == "F" else "more than 8 bit per channel (32)"
        raise DataError(f"{path}: {kind}, expected 8 bit (convert it first)")
    if not is_deep(image) and image.mode not in ("1", "L", "P", "RGB", "RGBA", "LA", "PA"):
        raise DataError(f"{path}: colour mode {image.mode}, expected grey, palette or RGB")
    frames = getattr(image, "n_frames", 1)
    if frames != 1 and image.format != "MPO":  # a phone adds a depth map or a preview to its picture
        raise DataError(f"{path}: {frames} frames, expected one image")


def _kind(path: Path) -> str:
    """What a file is that Pillow does not open."""
    with path.open("rb") as file:
        start = file.read(4)
    if start == b"GIF8":
        return "a GIF"
    if start in (b"II*\0", b"MM\0*"):
        return "a TIFF of a kind that is not read (floating-point, or other than 8 and 16 bit per channel)"
    return "not an image"
