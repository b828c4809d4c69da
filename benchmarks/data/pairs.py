"""A set of images as HR and LR pairs.

LR images are those stored with a set, or are made from the HR images by `imresize`; `lr_origin` states which, and
the border.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.images import DataError
from benchmarks.data.resize import Border, imresize
from benchmarks.data.sources import Source, read

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Pair:
    """An HR image and its LR image, uint8 RGB; hr.shape[:2] is lr.shape[:2] times the scale."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]
    lr_origin: str  # stored- or imresize- with the border symmetric or replicate; given for a user's own LR images


@dataclass(frozen=True)
class Dataset:
    """Images by name. `hr_sources` and `lr_sources` map a scale, then an image's name, to its file.

    HR images are stored per scale or once for all scales. LR images of a scale that are not stored are made by
    imresize. `border` applies to both stored LR images and those made by imresize.
    """

    name: str
    hr_sources: Mapping[int, Mapping[str, Source]]
    lr_sources: Mapping[int, Mapping[str, Source]]
    border: Border

    def hr_names(self) -> list[str]:
        """The images' names, sorted."""
        return sorted(next(iter(self.hr_sources.values())))

    def lr_origin(self, scale: int) -> str:
        return f"{'stored' if scale in self.lr_sources else 'imresize'}-{self.border}"

    def checksum(self, scale: int) -> str:
        """SHA-256 over the checksums of all files of the set at this scale, and over the LR images' origin.

        For registered sets it needs no download.
        """
        lines = [self.lr_origin(scale)]
        for image in self.hr_names():
            lines += [f"{image} {source.content}" for source in self._sources(image, scale)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def missing(self, scale: int) -> list[str]:
        """Images with a file that is neither stored nor downloadable; with network access there are none."""
        return [
            image for image in self.hr_names() if not all(source.available() for source in self._sources(image, scale))
        ]

    def hr_source(self, image: str, scale: int) -> Source:
        """The file of the HR image. DataError for an unknown image or scale."""
        _check_scale(scale)
        sources = self.hr_sources.get(scale) or next(iter(self.hr_sources.values()))
        if image not in sources:
            raise DataError(f"{self.name} has no image {image!r}, expected one of {', '.join(self.hr_names())}")
        return sources[image]

    def lr_source(self, image: str, scale: int) -> Source | None:
        """The file of the LR image; None if it is made from the HR image."""
        return self.lr_sources.get(scale, {}).get(image)

    def hr(self, image: str, scale: int) -> NDArray[np.uint8]:
        """The HR image, uint8 (H, W, 3), cropped at bottom and right to a multiple of the scale."""
        source = self.hr_source(image, scale)
        pixels = read(source)
        height, width = (size // scale * scale for size in pixels.shape[:2])
        if not height or not width:
            raise DataError(
                f"{source.locate()}: {pixels.shape[0]}x{pixels.shape[1]}, expected at least {scale}x{scale}"
            )
        return pixels[:height, :width]

    def pair(self, image: str, scale: int) -> Pair:
        """One HR and LR pair. DataError if a file is missing, damaged, not an image or of the wrong size."""
        hr = self.hr(image, scale)
        source = self.lr_source(image, scale)
        if source is None:
            lr = imresize(hr, 1 / scale, self.border)
        else:
            lr = read(source)
            if (lr.shape[0] * scale, lr.shape[1] * scale) != hr.shape[:2]:
                raise DataError(
                    f"{source.locate()}: {lr.shape[0]}x{lr.shape[1]}, expected {hr.shape[0] // scale}x"
                    f"{hr.shape[1] // scale}, 1/{scale} of {self.hr_source(image, scale).locate().name}"
                )
        return Pair(image, hr, lr, self.lr_origin(scale))

    def pairs(self, scale: int) -> Iterator[Pair]:
        """The pairs of all images except the missing ones, sorted by name; callers report what is `missing`.

        If no image is available, DataError states how to obtain the first one.
        """
        missing = set(self.missing(scale))
        names = [image for image in self.hr_names() if image not in missing] or self.hr_names()
        for image in names:
            yield self.pair(image, scale)

    def fetch_all(self, scale: int | None = None, progress: Callable[[int, int, str], None] | None = None) -> None:
        """Fetch and verify all files of one scale or of all; calls `progress(done, total, image)` after each file."""
        scales = SCALES if scale is None else (scale,)
        sources = {
            source: image for each in scales for image in self.hr_names() for source in self._sources(image, each)
        }
        for done, (source, image) in enumerate(sources.items(), 1):
            if not source.locate().is_file():
                raise DataError(f"{source.locate()}: missing; delete the folder of its archive and run again")
            if progress is not None:
                progress(done, len(sources), image)

    def _sources(self, image: str, scale: int) -> list[Source]:
        lr = self.lr_source(image, scale)
        return [self.hr_source(image, scale)] + ([] if lr is None else [lr])


def _check_scale(scale: int) -> None:
    if scale not in SCALES:
        raise DataError(f"scale {scale}, expected one of {', '.join(map(str, SCALES))}")
