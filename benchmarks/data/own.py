"""Sets of the user's: a folder of HR images, whose LR images lie beside them, in another folder, or are made.

Layouts that are found by themselves: `HR/` and `LR_bicubic/X4/` in a folder (EDSR, DIV2K), and `*_SRF_4_HR.png` beside
`*_SRF_4_LR.png`, in one folder or in `image_SRF_2/`, `image_SRF_3/` and `image_SRF_4/` (SelfExSR).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data.images import SUFFIXES, DataError
from benchmarks.data.pairing import beside, hr_name, image_name, partners
from benchmarks.data.pairs import SCALES, Dataset, Pair
from benchmarks.data.sources import LocalImage, Source
from foundation.image_sets import ImageSet

_HR = re.compile(r"(.*_)?HR", re.IGNORECASE)
_LR = re.compile(r"(.*_)?LR_bicubic", re.IGNORECASE)
_SRF = re.compile(r"image_SRF_(\d)", re.IGNORECASE)
_Sources = Mapping[int, Mapping[str, Source]]  # by scale, or 0 for all, and name
_OF_SYSTEMS = ("thumbs.db", "desktop.ini")
_COLOURED = 2  # mean difference of the channels from which an image is not grey


@dataclass(frozen=True)
class OwnDataset(Dataset):
    """A set of the user's. `faults` say by scale why its LR images cannot be used, in a line.

    `place` is where it lies, as `foundation.image_sets` reads it; `left_out` says what of its folder is not used.
    """

    place: str
    left_out: str
    faults: Mapping[int, str] = field(default_factory=dict)

    def lr_origin(self, scale: int) -> str:
        """`given` where the user has LR images of this scale. DataError if they are no partners of the HR images."""
        self._check(scale)
        return "given" if scale in self.lr_sources else super().lr_origin(scale)

    def lr_source(self, image: str, scale: int) -> Source | None:
        self._check(scale)
        return super().lr_source(image, scale)

    def pair(self, image: str, scale: int) -> Pair:
        pair, source = super().pair(image, scale), self.lr_source(image, scale)
        if source is not None:
            hr, lr = (self.hr_source(image, scale), pair.hr), (source, pair.lr)
            for (grey, grey_pixels), (coloured, pixels) in ((hr, lr), (lr, hr)):
                if _grey(grey_pixels) and _coloured(pixels):
                    raise DataError(f"{grey.locate()}: grey, but {coloured.locate()} has colours, expected one picture")
        return pair

    def _check(self, scale: int) -> None:
        if scale in self.faults:
            raise DataError(self.faults[scale])


def own_dataset(given: ImageSet) -> OwnDataset:
    """The set of a folder, and of one of LR images. Sub-folders and other files than images are left out.

    DataError for a folder that is missing or has no images, duplicate image names, and names that are no pairs.
    """
    folder = Path(given.hr)
    if given.lr is not None:
        lr = Path(given.lr)
        if not lr.is_dir():
            raise DataError(f"{lr}: no such folder, expected LR images of {folder}")
        return _with_lr(given, folder, _images(folder), lr, required=True)
    files = _images(folder)
    if not files:
        return _layout(given, folder)
    hr, lr_files = beside(files)
    return _beside(given, folder, hr, lr_files)


def _layout(given: ImageSet, folder: Path) -> OwnDataset:
    """The set of a folder without images, from its sub-folders."""
    below = sorted(each for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    hr, lr = ([each for each in below if part.fullmatch(each.name)] for part in (_HR, _LR))
    if len(hr) == len(lr) == 1 and (files := _images(hr[0])):
        return _with_lr(given, hr[0], files, lr[0], required=False)
    if files := [file for each in below if _SRF.fullmatch(each.name) for file in _images(each)]:
        return _beside(given, folder, *beside(files))
    raise DataError(_empty(folder))


def _empty(folder: Path) -> str:
    below = sorted(each.name for each in folder.iterdir() if each.is_dir() and not each.name.startswith("."))
    more = f" and {len(below) - 5} others" if len(below) > 5 else ""
    found = f"; its folders are {', '.join(below[:5])}{more}" if below else ""
    return f"{folder}: no images, expected some of {', '.join(SUFFIXES)}{found}"


def _with_lr(given: ImageSet, folder: Path, files: Sequence[Path], lr: Path, required: bool) -> OwnDataset:
    """HR images, and LR images in a folder or in its folders X2, X3 and X4."""
    if not files:
        raise DataError(_empty(folder))
    by_scale = {scale: [file for each in _named(lr, f"X{scale}") for file in _images(each)] for scale in SCALES}
    flat = _images(lr)
    hr = _distinct({file: image_name(file) for file in files})
    stems = [file.stem for file in files]
    sources: dict[int, dict[str, Source]] = {}
    faults = {}
    for scale in SCALES:
        found = partners(hr, stems, by_scale[scale] or flat, scale)
        if found is None:
            if required:
                faults[scale] = f"{lr}: no LR images of x{scale}, expected one for each image of {folder}"
        elif found.fault:
            faults[scale] = f"{lr}: not the LR images of {folder} at x{scale}: {found.fault}"
        else:
            sources[scale] = {image: LocalImage(file) for image, file in found.lr.items()}
    return _of(given, folder, {0: hr}, sources, faults)


def _beside(given: ImageSet, folder: Path, files: Sequence[Path], lr_files: Sequence[Path]) -> OwnDataset:
    """HR images, and perhaps LR images that lie beside them; HR images may be those of a scale."""
    if not lr_files:
        return _of(given, folder, {0: _distinct({file: file.stem for file in files})}, {}, {})
    marked = [file for file in files if hr_name(file.stem)]
    by_scale: dict[int, list[Path]] = {}
    for file in marked or files:  # beside marked HR images there may be those of other methods
        stated = hr_name(file.stem)
        by_scale.setdefault((stated and stated.scale) or 0, []).append(file)
    hr = {scale: _distinct({file: image_name(file) for file in found}) for scale, found in sorted(by_scale.items())}
    sources: dict[int, dict[str, Source]] = {}
    faults = {}
    for scale in SCALES:
        images, own = hr.get(scale) or hr.get(0), by_scale.get(scale) or by_scale.get(0, [])
        found = partners(images, [file.stem for file in own], lr_files, scale) if images else None
        if found and found.fault:
            faults[scale] = f"{folder}: no pairs of HR and LR images at x{scale}: {found.fault}"
        elif found:
            sources[scale] = {image: LocalImage(file) for image, file in found.lr.items()}
    return _of(given, folder, hr, sources, faults)


def _of(given: ImageSet, folder: Path, hr: _Sources, lr: _Sources, faults: Mapping[int, str]) -> OwnDataset:
    name, lr_folder = given.names[-1], given.lr and str(Path(given.lr).resolve())
    place = replace(given, hr=str(given.path), lr=lr_folder, label=name)
    used = {source.locate() for files in (*hr.values(), *lr.values()) for source in files.values()}
    return OwnDataset(name, hr, lr, "symmetric", str(place), _left_out(folder, used), faults)


def _left_out(folder: Path, used: Collection[Path]) -> str:
    """What lies in a folder and is not used, in a line; empty if there is nothing else."""
    around = {parent for file in used for parent in file.parents}
    found = []
    for path in sorted(folder.iterdir()):
        if path in used or path in around or path.name.startswith(".") or path.name.lower() in _OF_SYSTEMS:
            continue
        broken = " (a broken link)" if path.is_symlink() and not path.exists() else ""
        found.append(f"{path.name}/" if path.is_dir() else f"{path.name}{broken}")
    more = f" and {len(found) - 5} others" if len(found) > 5 else ""
    return f"{folder}: left out: {', '.join(found[:5])}{more}" if found else ""


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected images")
    files = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    found = sorted(file for file in files if not file.name.startswith("."))  # such as ._a.png of macOS
    for file in found:
        if not file.stem.isprintable():
            raise DataError(f"{file}: a name with bytes or characters that no table can show, expected another name")
    return found


def _named(folder: Path, name: str) -> list[Path]:
    return [each for each in folder.iterdir() if each.is_dir() and each.name.upper() == name]


def _distinct(names: Mapping[Path, str]) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for file, name in names.items():
        if name in found:
            raise DataError(f"{file}: another image of this folder is named {name!r}, expected distinct names")
        found[name] = LocalImage(file)
    return found


def _grey(image: NDArray[np.uint8]) -> bool:
    return bool((image == image[..., :1]).all())


def _coloured(image: NDArray[np.uint8]) -> bool:
    return float((image.max(-1) - image.min(-1)).mean()) > _COLOURED
