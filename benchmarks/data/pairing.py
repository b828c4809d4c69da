"""Which LR file belongs to which HR file, by their names.

An LR file is named as its HR file, or has one of the usual suffixes at the end: `x4`, `_x4`, `_LR`, `_SRF_4_LR`,
`_bicLRx4`, `_LRBI_x4`. An HR file may end with `_HR`, `_GT` or `_SRF_4_HR`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_LR = re.compile(
    r"(?P<key>.+?)(?:_SRF_(?P<srf>\d)_LR|[_-]?(?:bic)?LR(?:BI|bic)?(?:[_-]?x(?P<named>\d))?|[_-]?x(?P<plain>\d))",
    re.IGNORECASE,
)
_HR = re.compile(r"(?P<key>.+?)(?:_SRF_(?P<srf>\d)_HR|[_-](?:HR|GT))", re.IGNORECASE)


@dataclass(frozen=True)
class Name:
    """A file's name without its suffix: the image's name, and the scale that it states."""

    key: str
    scale: int | None = None


def hr_name(stem: str) -> Name | None:
    """What the name of a file says that ends as an HR image's; None for another one."""
    found = _HR.fullmatch(stem)
    return Name(found["key"], int(found["srf"]) if found["srf"] else None) if found else None


def lr_name(stem: str) -> Name | None:
    """What the name of a file says that ends as an LR image's; None for another one."""
    found = _LR.fullmatch(stem)
    if found is None:
        return None
    scale = found["srf"] or found["named"] or found["plain"]
    return Name(found["key"], int(scale) if scale else None)


def image_name(hr: Path) -> str:
    """The name of the image of an HR file, under which its LR file is found."""
    found = hr_name(hr.stem)
    return found.key if found else hr.stem


def beside(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The HR and the LR files among those of one folder.

    An LR file has the name of an HR file and a suffix of LR; where HR files are marked as such, every file with a
    suffix of LR is one.
    """
    files = list(files)
    keys = {file.stem for file in files} | {image_name(file) for file in files if hr_name(file.stem)}
    marked = any(hr_name(file.stem) for file in files)
    lr = [file for file in files if (name := lr_name(file.stem)) and (name.key in keys or marked)]
    return [file for file in files if file not in lr], lr


@dataclass(frozen=True)
class Partners:
    """LR files by the names of their images, and which files have no partner; `twice` are two for one image."""

    lr: Mapping[str, Path]
    hr_alone: Sequence[str]
    lr_alone: Sequence[Path]
    twice: tuple[Path, Path] | None = None

    @property
    def fault(self) -> str | None:
        """Why these are not pairs, in a line; None if each file has its partner."""
        if self.twice:
            return f"{self.twice[0].name} and {self.twice[1].name} are LR images of one HR image"
        parts = []
        for wanted, names in (("LR", self.hr_alone), ("HR", [file.name for file in self.lr_alone])):
            if names:
                more = f" and {len(names) - 3} others" if len(names) > 3 else ""
                parts.append(f"no {wanted} image for {', '.join(names[:3])}{more}")
        return ", ".join(parts) or None


def partners(images: Iterable[str], stems: Iterable[str], files: Iterable[Path], scale: int) -> Partners | None:
    """The LR files of images at a scale; None if no file is of that scale. `stems` are those of the HR files.

    A file whose name states no scale may be of any.
    """
    wanted, hr_stems = list(images), set(stems)
    found: dict[str, Path] = {}
    alone, twice, any_file = [], None, False
    for file in files:
        name = None if file.stem in hr_stems else lr_name(file.stem)
        if name and name.scale not in (None, scale):
            continue
        any_file = True
        key = name.key if name else image_name(file)
        if key not in wanted:
            alone.append(file)
        elif key in found:
            twice = twice or (found[key], file)
        else:
            found[key] = file
    if not any_file:
        return None
    return Partners(found, [image for image in wanted if image not in found], alone, twice)
