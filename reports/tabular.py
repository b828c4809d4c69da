"""A table as LaTeX's tabular: its lines, and its columns, of which some sets may be hidden where the page is narrow."""

from __future__ import annotations

import math
from collections.abc import Collection
from itertools import accumulate, pairwise
from pathlib import Path

import jinja2

from reports import latex
from reports.latex import Tex, escape, superscript
from reports.layout import DIFFERENCE, HEADINGS, Cell, Layout, Row

_HIDDEN = r">{\setbox0\hbox\bgroup}c<{\egroup}"


def environment(folder: Path) -> jinja2.Environment:
    """Templates of LaTeX, with what a table needs."""
    templates = latex.environment(folder)
    templates.filters |= {"tex": Tex, "lines": lines, "columns": columns, "splits": splits}
    return templates


def lines(layout: Layout, flags: bool = True) -> list[Tex]:
    """The lines between \\begin{tabular}{...} and \\end{tabular}; without `flags`, no mark of a footnote."""
    sets = [Tex(escape(group.title) + superscript([group.flag] * flags)) for group in layout.groups]
    heading = [Tex(rf"$\times${layout.scale}"), *(["Train"] * layout.training), *([""] * _kinds(layout))]
    found = [Tex(r"\toprule"), _line([*heading, *layout.costs, *sets])]
    if layout.single and len({group.columns[0] for group in layout.groups}) > 1:
        found.append(_line([*[""] * _front(layout), *(group.columns[0] for group in layout.groups)]))
    found.append(Tex(r"\midrule"))
    for before, row in pairwise([None, *layout.rows]):
        assert row is not None
        if before is not None and row.block != before.block:
            found.append(Tex(r"\midrule"))
        elif before is not None and not layout.single:
            found.append(Tex(r"\addlinespace[3pt]"))
        if row.heading and (before is None or row.block != before.block):
            width = _front(layout) + len(layout.groups)
            found.append(Tex(rf"\multicolumn{{{width}}}{{@{{}}l@{{}}}}{{\textit{{{escape(row.heading)}}}}} \\"))
        found += _row_lines(layout, row, flags)
    return [*found, Tex(r"\bottomrule")]


def columns(layout: Layout, sets: Collection[int] | None = None, continued: bool = False) -> Tex:
    """The columns of `lines`; only these `sets`, by position, are seen (None: all), and no costs where `continued`."""
    seen = [("l", True), *[("l", not continued)] * layout.training, *[("l", True)] * _kinds(layout)]
    seen += [("r", not continued)] * len(layout.costs)
    seen += [("c", sets is None or index in sets) for index in range(len(layout.groups))]
    text = "@{}l"
    for (_, before), (letter, now) in pairwise(seen):
        # a hidden column has neither width nor room beside it
        text += "" if before and now else r"@{}" if not before and not now else r"@{\hskip\tabcolsep}"
        text += letter if now else _HIDDEN
    return Tex(f"{text}@{{}}")


def splits(layout: Layout) -> list[list[Tex]]:
    """Ways to set the table as narrower ones, as their `columns`: whole, in two parts, in three, or set by set."""
    count = len(layout.groups)
    found = [[count], *([first, count - first] for first in range(math.ceil(count / 2), 0, -1) if first < count)]
    found += [[1, count // 2, (count - 1) // 2]] * (count > 3) + [[1] * count] * (count > 2)
    ends = [list(accumulate(sizes)) for sizes in found]
    return [
        [columns(layout, range(end - size, end), end != size) for size, end in zip(sizes, stops, strict=True)]
        for sizes, stops in zip(found, ends, strict=True)
    ]


def _kinds(layout: Layout) -> bool:
    """There is a column that says which line of a row is what."""
    return not layout.single


def _front(layout: Layout) -> int:
    return 1 + layout.training + _kinds(layout) + len(layout.costs)


def _row_lines(layout: Layout, row: Row, flags: bool) -> list[Tex]:
    """The lines of a row below each other; what holds for all of them stands at their middle."""
    kinds, cells = [], []
    for line in row.lines:
        kinds.append(HEADINGS.get(line.kind, ""))
        cells.append([_cell(cell, flags) for cell in line.cells])
        spread = [_spread(cell) for cell in line.cells]
        if any(spread):
            kinds.append(Tex(r"$\pm$ sd"))
            cells.append(spread)
    label = escape(row.label)
    label = Tex((rf"\textbf{{{label}}}" if row.ours else label) + (superscript(row.flags * flags)))
    found = []
    for index, (kind, values) in enumerate(zip(kinds, cells, strict=True)):
        first = [_multirow(text, len(kinds)) if index == 0 else "" for text in (label, str(row.trained_on), *row.costs)]
        training = first[1:2] * layout.training
        found.append(_line([first[0], *training, *([kind] * _kinds(layout)), *first[2:], *values]))
    return found


def _line(cells: Collection[object]) -> Tex:
    return Tex(" & ".join(map(escape, cells)) + r" \\")


def _cell(cell: Cell | None, flags: bool) -> Tex:
    if cell is None:
        return Tex()
    wraps = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
    values = "/".join(wraps[number.mark] % escape(number.value) for number in cell.numbers.values() if number.value)
    values = _small(values) if cell.kind == DIFFERENCE and values else values
    return Tex(values + superscript([cell.flag] * flags))


def _spread(cell: Cell | None) -> Tex:
    values = [escape(number.sd) for number in cell.numbers.values() if number.sd] if cell else []
    return Tex(_small(rf"$\pm${'/'.join(values)}") if values else "")


def _small(text: str) -> str:
    return rf"{{\scriptsize {text}}}"


def _multirow(text: object, count: int) -> Tex:
    return escape(text) if count == 1 else Tex(rf"\multirow{{{count}}}{{*}}{{{escape(text)}}}")
