"""SR images on disk: their names, and writing them."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
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


def sr_files(folder: Path, dataset: Dataset, network: Network) -> dict[str, Path]:
    """The file for the SR image of each image of a set: `<set>_<image>_<network>_x<scale>.png`.

    Raises UsageError for one that exists: nothing is overwritten.
    """
    missing = set(dataset.missing(network.scale))
    model = f"{network_name(network.model)}{'+' * network.ensemble}_x{network.scale}"
    files = {
        image: folder / f"{_plain(dataset.name)}_{_plain(image)}_{_plain(model)}.png"
        for image in dataset.hr_names()
        if image not in missing
    }
    for file in files.values():
        if file.exists():
            raise UsageError(f"--save {folder}: {file.name} exists already, expected a folder without it")
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
