"""A look at images of the user's before hours are spent on some of them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from benchmarks.data.images import FORMATS, DataError, read_image
from benchmarks.data.pairs import Dataset

_PLAIN = ("RGB", "L")  # modes of images of which the header says enough
_SHOWN = 3  # images that a message names


def inspect(
    dataset: Dataset, scale: int, least: int, why: str, limit: int | None = None, headers: bool = False
) -> None:
    """Read the images of a set, or the first `limit`, with their LR images; or, with `headers`, those of HR files.

    DataError in one line names those that cannot be read or are no pairs, and those whose LR image has an edge of less
    than `least` pixels; `why` says what needs them.
    """
    dataset.missing(scale)  # LR images that are no partners are told first

    def size(image: str) -> tuple[int, int]:
        if headers:
            height, width = _size(dataset.hr_source(image, scale).locate())
        elif dataset.lr_source(image, scale) is not None:
            height, width = dataset.pair(image, scale).hr.shape[:2]
        else:
            height, width = dataset.hr(image, scale).shape[:2]
        return height // scale, width // scale

    def fault(image: str) -> str | None:
        try:
            height, width = size(image)
        except DataError as error:
            return str(error)
        if min(height, width) >= least:
            return None
        file = dataset.hr_source(image, scale).locate()
        return f"{file}: LR image of {height}x{width} at x{scale}, expected at least {least}x{least}, {why}"

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        found = [each for each in threads.map(fault, dataset.hr_names()[:limit]) if each]
    if found:
        more = f"; and {len(found) - _SHOWN} other images" if len(found) > _SHOWN else ""
        raise DataError("; ".join(found[:_SHOWN]) + more)


def _size(file: Path) -> tuple[int, int]:
    """Height and width of an image by its header, or of one that is not plain by reading it, which says why not."""
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.mode in _PLAIN:
                return image.height, image.width
    except (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError):
        pass  # told by the reader
    height, width = read_image(file).shape[:2]
    return height, width
