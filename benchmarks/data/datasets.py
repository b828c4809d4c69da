"""Image sets by name, or any folder of images, as HR and LR pairs.

LR images are those stored with a set, or are made from the HR images by `imresize`; `lr_origin` states which, and
the border.

The embedded sets need no download: they are colour photographs inside scikit-image. Drawings and charts (logo,
colour wheel) are excluded, and so are the star field and the retina, which have hardly any detail to learn from. The
test photographs, chelsea and coffee, are small PNG files, whose decoding does not depend on a decoder's version.
Both images of the motorcycle stereo pair, which show one scene, are training images.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.images import SUFFIXES, DataError
from benchmarks.data.registry import Entry, entries
from benchmarks.data.resize import Border, imresize
from benchmarks.data.sources import LocalImage, Member, Packaged, Published, Source, read
from foundation import cache_folder, meant

SCALES = (2, 3, 4)


@dataclass(frozen=True)
class About:
    """The facts of a set: number of images, role, source and terms of use."""

    images: int
    role: str
    note: str


SETS: Mapping[str, About] = {
    "embedded-train": About(5, "training", "photographs inside scikit-image; no download"),
    "embedded-test": About(2, "test", "photographs inside scikit-image (CC0); no download"),
    "Set5": About(5, "test", "Bevilacqua et al. 2012, as of SelfExSR; LR of older MATLAB"),
    "Set5-symmetric": About(5, "test", "the same HR images; LR of today's MATLAB, as of EDSR"),
    "Set14": About(14, "test", "Zeyde et al. 2010, as of SelfExSR; LR of older MATLAB"),
    "BSDS100": About(100, "test", "Martin et al. 2001, as of SelfExSR; LR of older MATLAB; non-commercial research"),
    "Urban100": About(100, "test", "Huang et al. 2015, as of SelfExSR; stored for x4, LR of x2 and x3 made here"),
    "Sun-Hays80": About(80, "training", "Sun and Hays 2012, as of SelfExSR; for small budgets"),
    "Sun-Hays80-train": About(72, "training", "Sun-Hays80 without its held-out images"),
    "Sun-Hays80-held-out": About(8, "validation", "every tenth image of Sun-Hays80, for choices before any test"),
    "DIV2K-train": About(800, "training", "Agustsson and Timofte 2017, images 1 to 800; academic research only"),
    "DIV2K-valid": About(100, "test", "Agustsson and Timofte 2017, images 801 to 900; academic research only"),
    "Manga109": About(109, "test", "Matsui et al. 2017; academic licence: ask its authors, then give the folder"),
}


@dataclass(frozen=True)
class Pair:
    """An HR image and its LR image, uint8 RGB; hr.shape[:2] is lr.shape[:2] times the scale."""

    name: str
    hr: NDArray[np.uint8]
    lr: NDArray[np.uint8]
    lr_origin: str  # stored-symmetric, stored-replicate, imresize-symmetric or imresize-replicate


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


def get(name_or_folder: str) -> Dataset:
    """The set of this name, or of all images in this folder (sorted; sub-folders and other files are ignored).

    The set of a folder is called `folder:<its name>`. DataError for an unknown name, an empty folder, duplicate image
    names, and for Manga109 if the user has not provided it.
    """
    if name_or_folder not in SETS and not Path(name_or_folder).is_dir():
        name_or_folder = meant(name_or_folder, SETS) or name_or_folder
    if name_or_folder == "Manga109":
        return _manga109()
    if name_or_folder.startswith("DIV2K-") and name_or_folder in SETS:
        return _div2k(name_or_folder)
    if name_or_folder.startswith("Sun-Hays80-") and name_or_folder in SETS:
        return _held_out(name_or_folder)
    if name_or_folder in SETS:
        return _registered(name_or_folder)
    if Path(name_or_folder).is_dir():
        folder = Path(name_or_folder)
        return _folder(f"folder:{folder.resolve().name}", folder)
    nearest = sorted(SETS, key=lambda name: -SequenceMatcher(None, name.lower(), name_or_folder.lower()).ratio())
    raise DataError(f"no data set or folder {name_or_folder!r}, expected a folder or one of {', '.join(nearest)}")


def several(names_or_folders: Sequence[str]) -> list[Dataset]:
    """Sets by names or folders, as returned by `get`. DataError for a set named twice, or two sets of one name."""
    found: dict[str, str] = {}
    sets = []
    for each in names_or_folders:
        dataset = get(each)
        if dataset.name in found:
            other = (
                "it is named twice" if each == found[dataset.name] else f"{found[dataset.name]} is {dataset.name} too"
            )
            raise DataError(f"{each}: {other}, expected each set once, under a name of its own")
        found[dataset.name] = each
        sets.append(dataset)
    return sets


def _check_scale(scale: int) -> None:
    if scale not in SCALES:
        raise DataError(f"scale {scale}, expected one of {', '.join(map(str, SCALES))}")


def _held_out(name: str) -> Dataset:
    """A part of Sun-Hays80: every tenth image in the order of the names, or the others."""
    whole = _registered("Sun-Hays80")
    every_tenth = set(whole.hr_names()[::10])
    wanted = {image: (image in every_tenth) == (name == "Sun-Hays80-held-out") for image in whole.hr_names()}
    hr = {
        scale: {image: source for image, source in images.items() if wanted[image]}
        for scale, images in whole.hr_sources.items()
    }
    return dataclasses.replace(whole, name=name, hr_sources=hr)


def _registered(name: str) -> Dataset:
    hr: dict[int, dict[str, Source]] = {}
    lr: dict[int, dict[str, Source]] = {}
    for entry in entries(name):
        source: Source = (Packaged if entry.kind == "packaged" else Published)(entry.path, entry.hash)
        # img_001_SRF_4_HR and babyx4 are scale 4 of img_001 and baby
        image = re.sub(r"_SRF_\d_(HR|LR)$|x\d$", "", Path(entry.path).stem)
        (hr if entry.role == "HR" else lr).setdefault(entry.scale, {})[image] = source
    as_of_selfexsr = bool(lr) and name != "Set5-symmetric"
    return Dataset(name, hr, lr, "replicate" if as_of_selfexsr else "symmetric")


def _div2k(name: str) -> Dataset:
    hr: dict[int, dict[str, Source]] = {}
    lr: dict[int, dict[str, Source]] = {}
    first = 1 if name == "DIV2K-train" else 801
    images = [f"{number:04d}" for number in range(first, first + SETS[name].images)]
    for archive in entries(name):
        if archive.role == "HR":
            stem = Path(archive.path).stem
            hr[0] = {image: Member(archive, f"{stem}/{image}.png") for image in images}
        else:
            lr[archive.scale] = {image: _div2k_lr(archive, image) for image in images}
    return Dataset(name, hr, lr, "symmetric")


def _div2k_lr(archive: Entry, image: str) -> Member:
    return Member(archive, f"DIV2K_train_LR_bicubic/X{archive.scale}/{image}x{archive.scale}.png")


def _manga109() -> Dataset:
    folder = Path(os.environ.get("SPINBENCH_MANGA109") or cache_folder() / "Manga109").expanduser()
    expected = SETS["Manga109"].images
    if not folder.is_dir():
        raise DataError(
            f"Manga109: no folder {folder}; its authors grant a licence for academic use, so it is not downloaded: "
            f"put its {expected} HR images there or set SPINBENCH_MANGA109 to their folder"
        )
    dataset = _folder("Manga109", folder)
    if len(dataset.hr_names()) != expected:
        raise DataError(f"{folder}: {len(dataset.hr_names())} images, expected the {expected} of Manga109")
    return dataset


def _folder(name: str, folder: Path) -> Dataset:
    images: dict[str, Source] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in SUFFIXES or not file.is_file():
            continue
        if file.stem in images:
            raise DataError(f"{file}: another image of this folder is named {file.stem!r}, expected distinct names")
        if not file.stem.isprintable():
            raise DataError(f"{file}: a name with bytes or characters that no table can show, expected another name")
        images[file.stem] = LocalImage(file)
    if not images:
        raise DataError(f"{folder}: no images, expected some of {', '.join(SUFFIXES)}")
    return Dataset(name, {0: images}, {}, "symmetric")
