"""What all figures share: their sizes, how lines and marks differ, and their files.

Sizes and fonts of printed figures are those of tueplots. Lines differ in marks and dashes as well as in colour. The
same numbers give the same bytes.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from tueplots import figsizes, fontsizes

FORMATS = ("pdf", "png", "svg")
# Okabe and Ito's colours; black and yellow are left out, which vanish on one of the page's backgrounds
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
INK = "#1c2026"
GREY = "#8a919c"  # seen on light and on dark paper
STYLE: dict[str, Any] = {
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "axes.grid": True, "axes.axisbelow": True, "grid.color": GREY, "grid.alpha": 0.25, "grid.linewidth": 0.6,
    "legend.frameon": False, "figure.constrained_layout.use": True,
    "svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "spin-bench",
}  # fmt: skip
# without these, files would hold the time and the version
METADATA: Mapping[str, dict[str, None]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}


class FigureSize(NamedTuple):
    """The format of a figure: its width in inches, its fonts and the mean width of a letter relative to the font size,
    and the size of marks relative to that on the page."""

    width: float
    letters: Mapping[str, Any]
    letter_width: float = 0.56
    marks: float = 1

    @property
    def narrow(self) -> bool:
        """Too narrow for two pictures side by side."""
        return self.width < 4

    def context(self) -> AbstractContextManager[None]:
        """Matplotlib's settings for drawing and saving."""
        settings: dict[Any, Any] = {**STYLE, **self.letters}
        return matplotlib.rc_context(settings)


def _printed(figure: Mapping[str, Any], letters: Mapping[str, Any]) -> FigureSize:
    # STIX are Times-like, as these conferences' texts are, and come with matplotlib
    times = {"font.family": "STIXGeneral", "mathtext.fontset": "stix", "savefig.pad_inches": 0.015}
    return FigureSize(figure["figure.figsize"][0], {**letters, **times}, 0.45, 0.7)


PAGE = FigureSize(7, {"font.size": 9, "axes.titlesize": 9, "axes.labelsize": 9, "legend.fontsize": 8.5})
PHONE = PAGE._replace(width=3.7)
COLUMN = _printed(figsizes.cvpr2024_half(), fontsizes.cvpr2024())  # of two: CVPR, ICCV
LINE = _printed(figsizes.eccv2024(), fontsizes.eccv2024())  # of one: ECCV (llncs)
BOTH = _printed(figsizes.cvpr2024_full(), fontsizes.cvpr2024())  # both columns
WIDTHS = {"column": COLUMN, "line": LINE, "both": BOTH}
Draw = Callable[[FigureSize], Figure]


def line(index: int) -> dict[str, Any]:
    """How the index-th of several lines differs from the others: in colour, and in dash or mark (32 pairs)."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index // len(DASHES) % len(MARKERS)],
    }


def files(name: str, draw: Draw, wide: bool = False) -> dict[str, bytes]:
    """The files of a figure by name: svg and png as on the page, pdf for a column and, if `wide`, a line."""
    page = draw(PAGE)
    found = {f"{name}.{file_format}": save(page, file_format) for file_format in ("svg", "png")}
    found[f"{name}.pdf"] = save(draw(COLUMN), "pdf", COLUMN)
    return {**found, f"{name}-wide.pdf": save(draw(LINE), "pdf", LINE)} if wide else found


def save(figure: Figure, file_format: str, size: FigureSize = PAGE) -> bytes:
    """The figure as a file: pdf, png, or svg without a background. `size` is the one that it was drawn for."""
    buffer = io.BytesIO()
    with size.context():
        if (layout := figure.get_layout_engine()) is not None:
            layout.execute(figure)
            figure.set_layout_engine("none")  # once is enough for all formats
        figure.savefig(
            buffer, format=file_format, dpi=200, transparent=file_format == "svg", metadata=METADATA[file_format]
        )
    return _titled(figure, buffer.getvalue()) if file_format == "svg" else buffer.getvalue()


def _titled(figure: Figure, svg: bytes) -> bytes:
    """The drawing with the label of everything that has an id as its title, which a pointer and a reader find."""
    text = svg.decode()
    for artist in figure.findobj(lambda artist: artist.get_gid() is not None):
        title = escape(str(artist.get_label()).replace(r"\$", "$"))
        group = f'<g id="{artist.get_gid()}"'
        named = f'{group} role="img" pointer-events="all"><title>{title}</title>'
        text = text.replace(f"{group}>", named)
    return text.encode()


def inline(svg: bytes, name: str, description: str) -> Markup:
    """A figure's SVG as part of a page: with its text colour, and with names of its own."""
    text = svg.decode()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
    role = "group" if "<title>" in text else "img"  # what is inside an image has no names of its own
    return Markup('<svg role="{}" aria-label="{}"').format(role, description) + Markup(text.removeprefix("<svg"))


def legend(figure: Figure, size: FigureSize, handles: Iterable[Any], labels: Iterable[str]) -> None:
    """A legend above everything, in as many columns as the longest label leaves room for."""
    names = list(labels)
    if not names:
        return
    letters = size.letters["legend.fontsize"] / 72
    longest = (size.letter_width * max(map(len, names)) + 4.8) * letters  # inches; the key and spaces take 4.8 letters
    fitting = max(1, min(len(names), int(size.width / longest)))
    columns = math.ceil(len(names) / math.ceil(len(names) / fitting))  # in rows of one length
    figure.legend(list(handles), names, loc="outside upper center", ncols=columns)


def literal(text: str) -> str:
    """Text in which matplotlib does not interpret dollar signs as delimiters of mathematics."""
    return text.replace("$", r"\$")
