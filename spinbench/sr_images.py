"""SR images on disk: their names, and writing them."""

from __future__ import annotations

import io
import re
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


def write_png(file: Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image, uint8 (H, W, 3), atomically. Raises OSError."""
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    results.write(file, content.getvalue())


def _plain(name: str) -> str:
    """A part of a file's name, without characters that some systems do not allow."""
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", name)
