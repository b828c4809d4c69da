"""Stored pictures as the report shows them: embedded in the page, and comparisons as figures for a paper."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

import results
from reports import latex
from reports.numbers import MarkedNumber, shown
from reports.page import TEMPLATES
from reports.tables import METRICS, marks
from results import pictures
from results.attribution import AttributionMaps
from results.comparison import Comparison, Quality
from results.pictures import Facts, Picture
from results.superpixels import SuperpixelFacts

FACTS: dict[pictures.PictureKind, type[Facts]] = {
    "comparison": Comparison, "superpixels": SuperpixelFacts, "attribution": AttributionMaps
}  # fmt: skip
PRINTED = 256  # pixels, the least longer side of a crop for print


@dataclass(frozen=True)
class PagePicture:
    """A stored picture: its facts, by its kind, and its images as they are embedded in the page."""

    picture: Picture
    facts: Any  # of FACTS

    @property
    def name(self) -> str:
        return self.picture.name

    @property
    def kind(self) -> pictures.PictureKind:
        return self.picture.kind

    def src(self, file: str) -> str:
        """One of its images as a data URI. Raises ResultsError for a file that it does not list."""
        return f"data:image/png;base64,{base64.b64encode(self.picture.png(file)).decode()}"

    def size(self, file: str) -> tuple[int, int]:
        """Width and height of one of its images in pixels. Raises ResultsError for a file that it does not list."""
        with Image.open(io.BytesIO(self.picture.png(file)), formats=["PNG"]) as image:
            return image.size


class MarkedPanel(NamedTuple):
    """A network in a comparison: files of its view, crop and errors; PSNR and SSIM of the image and of the box."""

    label: str
    source: str
    view: str
    crop: str
    error: str
    whole: list[MarkedNumber]
    part: list[MarkedNumber]


@dataclass(frozen=True)
class PageComparison:
    """A comparison: its images, its facts, and its networks with the best and second best of each value marked."""

    shown: PagePicture
    facts: Comparison

    @cached_property
    def panels(self) -> list[MarkedPanel]:
        wholes = _marked([panel.whole for panel in self.facts.panels])
        parts = _marked([panel.part for panel in self.facts.panels])
        return [
            MarkedPanel(panel.label, panel.source, panel.view, panel.crop, panel.error, whole, part)
            for panel, whole, part in zip(self.facts.panels, wholes, parts, strict=True)
        ]


def load_page_pictures(root: Path = results.ROOT) -> tuple[list[PagePicture], list[str]]:
    """The pictures stored below `root`, by kind and name; and a line for each whose facts are not those of its kind,
    such as one that another version of the suite has made. Raises ResultsError for a damaged one.
    """
    found, left_out = [], []
    for picture in pictures.load_pictures(root):
        try:
            found.append(PagePicture(picture, FACTS[picture.kind].of(picture)))
        except results.ResultsError as error:
            left_out.append(str(error))
    return found, left_out


def page_comparisons(found: Sequence[PagePicture]) -> list[PageComparison]:
    """The comparisons among some pictures."""
    return [PageComparison(one, one.facts) for one in found if one.kind == "comparison"]


def leading_comparison(
    compared: Sequence[PageComparison], variants: Collection[str], protocol: str
) -> PageComparison | None:
    """The comparison with most of the networks that a page measures; None where none shows any of them.

    What was trained under another protocol is another network.
    """

    def elsewhere(source: str) -> bool:
        return source.startswith("run ") and not source.startswith(f"run {protocol}/")

    def shared(one: PageComparison) -> int:
        return sum(panel.name in variants and not elsewhere(panel.source) for panel in one.facts.panels)

    return max(filter(shared, compared), key=shared, default=None)


def write_figures(compared: Sequence[PageComparison], folder: Path) -> None:
    """Write every comparison as a figure like the paper's Fig. 6: <name>.tex, and its images as <name>-*.png."""
    template = latex.environment(TEMPLATES).get_template("picture.tex")
    for one in compared:
        name, picture, facts = one.shown.name, one.shown.picture, one.facts
        overview = f"{name}-{facts.overview}"
        results.write(folder / overview, picture.png(facts.overview))
        for file in (facts.crop, *(panel.crop for panel in one.panels)):
            results.write(folder / f"{name}-{file}", _enlarged(picture.png(file)))
        columns = 3 if len(one.panels) < 6 else 4
        text = template.render(
            name=name, facts=facts, overview=latex.Tex(overview), columns=columns, lines=_lines(one, columns)
        )
        results.write(folder / f"{name}.tex", text)


def _lines(one: PageComparison, columns: int) -> list[latex.Tex]:
    """The lines of the figure's grid: crops, then names, then what was measured of the image and of the crop."""
    width = rf"{0.96 / columns:.3f}\linewidth"
    blocks = [(one.facts.crop, "HR", "image: PSNR/SSIM", "crop: PSNR/SSIM")]
    blocks += [
        (panel.crop, latex.escape(panel.label), _values(panel.whole), _values(panel.part)) for panel in one.panels
    ]
    lines = []
    for start in range(0, len(blocks), columns):
        files, *texts = zip(*blocks[start : start + columns], strict=True)
        crops = [rf"\includegraphics[width={width}]{{{one.shown.name}-{file}}}" for file in files]
        lines.append((r"\noalign{\smallskip}" if start else "") + " & ".join(crops))
        lines += [" & ".join(rf"\parbox[t]{{{width}}}{{\centering {text}\strut}}" for text in line) for line in texts]
    return [latex.Tex(rf"{line} \\") for line in lines]


def _values(numbers: Sequence[MarkedNumber]) -> latex.Tex:
    wraps = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
    return latex.Tex("/".join(wraps[number.mark] % latex.escape(number.value) for number in numbers))


def _marked(qualities: Sequence[Quality]) -> list[list[MarkedNumber]]:
    """PSNR and SSIM of each, as they are displayed."""
    columns = []
    for key, metric in METRICS.items():
        values = [math.inf if (value := getattr(quality, key)) is None else value for quality in qualities]
        marked = zip(values, marks(values, metric.decimals), strict=True)
        columns.append([MarkedNumber(shown(value, metric.decimals), mark) for value, mark in marked])
    return [list(row) for row in zip(*columns, strict=True)]


def _enlarged(png: bytes) -> bytes:
    """A crop large enough for print, pixel by pixel; viewers would smooth what they enlarge themselves."""
    with Image.open(io.BytesIO(png)) as image:
        factor = math.ceil(PRINTED / max(image.size))
        buffer = io.BytesIO()
        image.resize([factor * side for side in image.size], Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
