"""Image sets by name, or any folder of images (`benchmarks.data.own`), as HR and LR pairs.

The embedded sets need no download: they are colour photographs inside scikit-image. Drawings and charts (logo,
colour wheel) are excluded, and so are the star field and the retina, which have hardly any detail to learn from. The
test photographs, chelsea and coffee, are small PNG files, whose decoding does not depend on a decoder's version.
Both images of the motorcycle stereo pair, which show one scene, are training images.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from benchmarks.data.images import DataError
from benchmarks.data.own import own_dataset
from benchmarks.data.pairs import Dataset
from benchmarks.data.registry import Entry, entries
from benchmarks.data.sources import Member, Packaged, Published, Source
from foundation import cache_folder, meant
from foundation.image_sets import ImageSet, image_set, told_apart


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


def get(name_or_folder: str) -> Dataset:
    """The set of this name, or one of the user's in the form of `foundation.image_sets`: FOLDER, label=FOLDER.

    DataError for an unknown name, a folder that is no set of images (see `own_dataset`), a label that is the name of a
    set of the suite, and for Manga109 if the user has not provided it.
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
    try:
        given = image_set(name_or_folder)
    except ValueError as error:
        raise DataError(str(error)) from None
    if given.label in SETS or (given.lr and given.hr in SETS):
        of = f"label {given.label!r}" if given.label in SETS else given.hr
        raise DataError(f"{name_or_folder}: {of} is a set of the suite, expected a folder and a name of your own")
    if Path(given.hr).is_dir():
        return own_dataset(given)
    if given.label or given.lr:
        raise DataError(f"{name_or_folder}: no folder {given.hr}")
    nearest = sorted(SETS, key=lambda name: -SequenceMatcher(None, name.lower(), name_or_folder.lower()).ratio())
    raise DataError(f"no data set or folder {name_or_folder!r}, expected a folder or one of {', '.join(nearest)}")


def several(names_or_folders: Sequence[str]) -> list[Dataset]:
    """Sets by names or folders, as returned by `get`; folders of one name are told apart by more of their paths.

    DataError for a set named twice, or two sets of one name.
    """
    try:
        return [get(each) for each in told_apart(names_or_folders)]
    except ValueError as error:
        raise DataError(str(error)) from None


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
        packaged = entry.kind == "packaged"
        source: Source = (
            Packaged(entry.path, entry.hash) if packaged else Published(entry.path, entry.hash, entry.bytes)
        )
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
    dataset = own_dataset(ImageSet(str(folder), label="Manga109"))
    if len(dataset.hr_names()) != expected:
        raise DataError(f"{folder}: {len(dataset.hr_names())} images, expected the {expected} of Manga109")
    return dataset
