"""SR images on disk: their names, and writing them."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import results
from ablations import network_name
from spinbench.options import UsageError

if TYPE_CHECKING:
    from benchmarks.data.datasets import Dataset
    from benchmarks.data.photos import Photo, Pixels
    from benchmarks.networks import Network


def sr_files(folder: Path, sets: Sequence[Dataset], network: Network) -> dict[str, dict[str, Path]]:
    """The file for the SR image of each image, by set and image: `<set>_<image>_<network>_x<scale>.png`.

    Images whose names differ in signs only that no file's name has, or in capitals, have a digest of them behind it.
    Raises UsageError for a file that exists: nothing is overwritten.
    """
    model = f"{network_name(network.model)}{'+' * network.ensemble}_x{network.scale}"
    stems = {
        (each.name, image): f"{_plain(each.name)}_{_plain(image)}_{_plain(model)}"
        for each in sets
        for image in each.hr_names()
        if image not in set(each.missing(network.scale))
    }
    alike = Counter(stem.lower() for stem in stems.values())
    files: dict[str, dict[str, Path]] = {each.name: {} for each in sets}
    for (name, image), stem in stems.items():
        behind = f"-{results.digest([name, image])[:8]}" if alike[stem.lower()] > 1 else ""
        file = folder / f"{stem}{behind}.png"
        if file.exists():
            raise UsageError(f"--save {folder}: {file.name} exists already, expected a folder without it")
        files[name][image] = file
    return files


def keep_sr(files: Mapping[str, Path], image: str, sr: NDArray[np.float32]) -> None:
    """Write the SR image (H, W, 3), in [0, 1] and clamped here, to its file. Raises OSError."""
    from benchmarks.measure.quality import eight_bit

    write_png(files[image], eight_bit(sr))


def write_upscaled(file: Path, photo: Photo, sr: NDArray[np.float32], scale: int) -> list[str]:
    """Write the SR image of a photo, of its depth, with its transparency, enlarged by `imresize`, and its profile.

    Returns remarks on them. Raises OSError, and ValueError for NaN or infinite values.
    """
    from benchmarks.data.resize import imresize
    from benchmarks.measure.quality import eight_bit, sixteen_bit

    deep = photo.rgb.dtype == np.uint16
    pixels, alpha = sixteen_bit(sr) if deep else eight_bit(sr), None
    if photo.alpha is not None:
        alpha = imresize(photo.alpha, scale)[: sr.shape[0], : sr.shape[1]]  # LR may have been cropped
    write_png(file, pixels, alpha, photo.profile)
    remarks = ["16 bit"] * deep + ["transparency enlarged by bicubic"] * (alpha is not None)
    return [*remarks, *[photo.remark] * bool(photo.remark)]


def write_png(file: Path, pixels: Pixels, alpha: Pixels | None = None, profile: bytes | None = None) -> None:
    """Write an image, uint8 or uint16 (H, W, 3), atomically, with its alpha (H, W) and ICC profile. Raises OSError."""
    from PIL import Image

    values = pixels if alpha is None else np.dstack([pixels, alpha])
    if values.dtype == np.uint16:
        results.write(file, _png_of_16_bit(values, profile))
        return
    content = io.BytesIO()
    Image.fromarray(values).save(content, "PNG", icc_profile=profile)
    results.write(file, content.getvalue())


def _png_of_16_bit(values: Pixels, profile: bytes | None) -> bytes:
    """A PNG of RGB or RGBA, which Pillow writes with 8 bit only. Every row is stored as the difference to the last."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width, channels = values.shape
    rows = np.ascontiguousarray(values, ">u2").view(np.uint8).reshape(height, -1)
    differences = np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1]))  # modulo 256
    filtered = np.insert(differences, 0, 2, axis=1)  # the number of this filter, "up"
    header = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    colours = chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(profile)) if profile else b""
    content = chunk(b"IHDR", header) + colours + chunk(b"IDAT", zlib.compress(filtered.tobytes()))
    return b"\x89PNG\r\n\x1a\n" + content + chunk(b"IEND", b"")


def _plain(name: str) -> str:
    """A part of a file's name, without characters that some systems do not allow."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", name)
