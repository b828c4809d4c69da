"""The rows and columns of a comparison as text, the same for the page, LaTeX and Markdown.

Columns are grouped by set: published, measured and their difference, each where some network has a value. Where
these columns would be too many, a row's `lines` hold the same cells, a line per kind below each other.
"""

from __future__ import annotations

from typing import NamedTuple

from reports.notes import TrainedOn
from reports.numbers import NOTHING, MarkedNumber

PUBLISHED, MEASURED, DIFFERENCE = "published", "measured", "difference"
HEADINGS = {PUBLISHED: "publ.", MEASURED: "meas.", DIFFERENCE: "diff."}  # as narrow as the numbers below them


class Cell(NamedTuple):
    """The numbers of a variant on a set; `kind` is PUBLISHED, MEASURED or DIFFERENCE.

    `state`: of the runs that would give the number that is missing here; "" where none was asked for.
    """

    kind: str
    numbers: dict[str, MarkedNumber]  # by metric
    flag: str = ""
    state: str = ""

    @property
    def has_number(self) -> bool:
        return any(entry.value not in ("", NOTHING) for entry in self.numbers.values())


class ColumnGroup(NamedTuple):
    """The columns of a set."""

    title: str
    columns: list[str]
    flag: str = ""


class Line(NamedTuple):
    """A variant's cells of one kind, one per set; None where no network has such a value.

    No kind: each set has a kind of its own, or there is no value.
    """

    kind: str
    cells: list[Cell | None]

    @property
    def tells(self) -> bool:
        """It has a number, or the state of runs that have none yet."""
        return any(cell.has_number or cell.state for cell in self.cells if cell)


class Row(NamedTuple):
    """A variant, and its cells in the order of the layout's groups.

    Rows of the same block belong together, under a heading if it has one ("" for none).
    """

    variant: str
    label: str
    flag: str
    costs: list[str]
    cells: list[list[Cell]]
    block: str
    heading: str
    trained_on: TrainedOn
    ours: bool = False  # stands out

    @property
    def lines(self) -> list[Line]:
        """The cells by kind, without the kinds of which there is no value; one line where no set has several kinds."""
        if all(len(group) == 1 for group in self.cells):
            return [Line("", [cell for group in self.cells for cell in group])]
        lines = self._by_kind()
        return [line for line in lines if line.tells] or [Line("", lines[0].cells if lines else [])]

    @property
    def flags(self) -> list[str]:
        """The row's flag, and those of cells that have no place in `lines`."""
        placed = {cell.flag for line in self.lines for cell in line.cells if cell}
        others = (cell.flag for group in self.cells for cell in group if cell.flag not in placed)
        return [flag for flag in dict.fromkeys([self.flag, *others]) if flag]

    def _by_kind(self) -> list[Line]:
        groups = [{cell.kind: cell for cell in group} for group in self.cells]
        lines = (Line(kind, [group.get(kind) for group in groups]) for kind in HEADINGS)
        return [line for line in lines if any(line.cells)]


class Layout(NamedTuple):
    """A table of one scale. `costs` names the columns of cost; it is empty where none is known.

    `training`: published networks differ in their training set, so that there is a column of it; else it is a note.
    `metrics` are what each cell holds, with their units.
    """

    scale: int
    metrics: list[str]
    costs: list[str]
    groups: list[ColumnGroup]
    rows: list[Row]
    published: bool
    measured: bool
    notes: list[str]
    footnotes: dict[str, str]  # by mark
    training: bool

    @property
    def single(self) -> bool:
        """Every set has one column only, so a row has one line."""
        return all(len(group.columns) == 1 for group in self.groups)

    @property
    def compared(self) -> bool:
        """Some set has differences to the paper."""
        return any(HEADINGS[DIFFERENCE] in group.columns for group in self.groups)
