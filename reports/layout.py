"""The rows and columns of a comparison as text, the same for the page, LaTeX and Markdown.

Columns are grouped by set: published, measured and their difference, each where some network has a value. Where
these columns would be too many, a row's `lines` hold the same cells, a line per kind below each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from ablations import Experiment
from reports.costs import in_pytorch
from reports.notes import (
    OTHER,
    PARTIAL,
    Footnotes,
    TrainedOn,
    about_costs,
    about_measurements,
    about_training,
    about_variant,
    trained_on,
)
from reports.numbers import NOTHING, UNKNOWN, MarkedNumber, shown, signed
from reports.tables import METRICS
from results import BASELINE

PUBLISHED, MEASURED, DIFFERENCE = "published", "measured", "difference"
HEADINGS = {PUBLISHED: "publ.", MEASURED: "meas.", DIFFERENCE: "diff."}  # as narrow as the numbers below them

_Cells = dict[tuple[str, str, str, str], Any]  # variant, protocol, set, metric -> row of the comparison


class Cell(NamedTuple):
    """The numbers of a variant on a set; `kind` is PUBLISHED, MEASURED or DIFFERENCE."""

    kind: str
    numbers: dict[str, MarkedNumber]  # by metric
    flag: str = ""

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
    def has_number(self) -> bool:
        return any(cell.has_number for cell in self.cells if cell)


class Row(NamedTuple):
    """A variant, and its cells in the order of the layout's groups. Rows of the same block belong together."""

    variant: str
    label: str
    flag: str
    costs: list[str]
    cells: list[list[Cell]]
    block: bool
    trained_on: TrainedOn
    ours: bool = False  # stands out

    @property
    def lines(self) -> list[Line]:
        """The cells by kind, without the kinds of which there is no value; one line where no set has several kinds."""
        if all(len(group) == 1 for group in self.cells):
            return [Line("", [cell for group in self.cells for cell in group])]
        lines = self._by_kind()
        return [line for line in lines if line.has_number] or [Line("", lines[0].cells if lines else [])]

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
    """

    scale: int
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


def layout(
    experiment: Experiment,
    table: pd.DataFrame,
    counted: pd.DataFrame,
    timed: pd.DataFrame,
    protocol: str,
    scale: int,
    trains: bool,
    warm_starts: Mapping[tuple[str, str, int], int],
    training_sets: Mapping[tuple[str, str, int], str],
    given: Mapping[tuple[str, str, int], str],
    summaries: Mapping[str, str],
) -> Layout:
    """Arrange a table of `study.load_study`, and of costs what holds for one size of image: `costs.counted_costs`, and
    the latency of `costs.measured_costs` in PyTorch where it was measured at the size that was counted.

    `warm_starts`, `training_sets` and `given` are of `notes`; `summaries` are those of the other protocols here.
    `trains`: the protocol trains networks.
    """
    table = table[table.scale == scale]
    cells: _Cells = {(row.variant, row.protocol, row.dataset, row.metric): row for row in table.itertuples()}
    baseline = table[table.variant == BASELINE]
    labels = dict(zip(baseline.variant, baseline.label, strict=True))  # none where it was not measured
    labels |= {name: variant.label for name, variant in experiment.variants.items()}
    counted = counted[counted.scale == scale].assign(label=lambda frame: frame.variant.map(labels))
    timed = in_pytorch(timed)
    timed = timed[(timed.scale == scale) & timed.lr_size.isin(counted.lr_size)]
    timed = timed.assign(label=lambda frame: frame.variant.map(labels))
    here = table[table.source.eq("run") & table.protocol.eq(protocol)]
    trained = trains and len(here) > 0
    footnotes = Footnotes()
    groups, places = _columns(experiment, table, footnotes)
    shown_costs = _costs(counted, timed, table)
    rows = []
    for variant, label in labels.items():
        definition = experiment.variants.get(variant)
        other = table[(table.variant == variant) & (table.protocol != protocol)]
        for name, line in ({protocol: label} | dict(zip(other.protocol, other.label, strict=True))).items():
            own = name == protocol
            start = warm_starts.get((name, variant, scale))
            about = about_variant(
                definition,
                None if own else name,
                start,
                summaries.get(name, ""),
                trained,
                given.get((name, variant, scale), ""),
            )
            flag = footnotes.mark(about)
            spent = [column.get(variant, NOTHING) if own else "" for column in shown_costs.values()]
            found = [
                [_cell(cells, footnotes, (variant, name, dataset), kind, own) for kind, dataset in group]
                for group in places
            ]
            block = bool(definition and definition.published)
            images = trained_on(definition, training_sets.get((name, variant, scale), ""), own)
            rows.append(Row(variant, line, flag, spent, found, block, images, own and variant in experiment.ours))
    kinds = {kind for group in places for kind, _ in group}
    notes = about_measurements(table) + about_costs(counted, timed)
    if trained and here.variant.nunique() > 1 and (here.n_seeds < 2).any():
        notes.append("Networks trained once are not ranked: another training may change the order.")
    taught = {row.trained_on.published for row in rows} - {""}
    training = len(taught) > 1
    notes += about_training(taught, {row.label: row.trained_on.here for row in rows})
    return Layout(
        scale, list(shown_costs), groups, rows, PUBLISHED in kinds, MEASURED in kinds, notes, footnotes.texts,
        training,
    )  # fmt: skip


_Places = list[list[tuple[str, str]]]  # kind and set of every column, by group


def _columns(experiment: Experiment, table: pd.DataFrame, footnotes: Footnotes) -> tuple[list[ColumnGroup], _Places]:
    """Each set with those of its columns that hold a value; a set on which no network was measured says why."""
    groups, places = [], []
    for name in dict.fromkeys([*experiment.datasets, *table.dataset]):
        kinds = [kind for kind in HEADINGS if _any(table, name, kind)]
        if not kinds:
            continue
        baseline = table[
            (table.dataset == name) & (table.variant == BASELINE)
        ]  # measured wherever images are available
        reason = "" if MEASURED in kinds else next(iter(baseline.status), "")
        groups.append(ColumnGroup(name, [HEADINGS[kind] for kind in kinds], footnotes.missing(reason)))
        places.append([(kind, name) for kind in kinds])
    return groups, places


def _any(table: pd.DataFrame, dataset: str, column: str) -> bool:
    return bool(table[table.dataset == dataset][column].notna().any())


def _costs(counted: pd.DataFrame, timed: pd.DataFrame, table: pd.DataFrame) -> dict[str, dict[str, str]]:
    """The columns of cost of which something is known, by title, each by variant."""
    printed = table.dropna(subset="params")
    own = "Counted" if len(printed) else "Parameters"
    columns = {"Params": {row.variant: f"{row.params:,g}K" for row in printed.itertuples()}} if len(printed) else {}
    columns[own] = {row.variant: shown(row.parameters, 0) for row in counted.itertuples()}
    columns["GMACs"] = {row.variant: shown(row.macs / 1e9, 2) for row in counted.itertuples()}
    columns["Latency, ms"] = {row.variant: shown(row.latency_s * 1e3, 1) for row in timed.itertuples()}
    return {title: column for title, column in columns.items() if set(column.values()) - {NOTHING}}


def _cell(cells: _Cells, footnotes: Footnotes, place: tuple[str, str, str], kind: str, own: bool) -> Cell:
    """`own`: of the report's protocol; a row of another one repeats no published value."""
    variant, protocol, dataset = place
    numbers: dict[str, MarkedNumber] = {}
    flag = ""
    for position, (key, metric) in enumerate(METRICS.items()):
        row = cells.get((variant, protocol, dataset, key))
        value = math.nan if row is None else getattr(row, kind)
        if row is not None and kind == PUBLISHED and row.published_note:
            known = not math.isnan(value)
            flag = footnotes.published(row.published_note, known)
            text = shown(value, metric.decimals) if known else UNKNOWN if position == 0 else ""
            numbers[key] = MarkedNumber(text, row.published_mark)
        elif row is None or math.isnan(value):
            dash = kind == MEASURED or (kind == PUBLISHED and own)
            numbers[key] = MarkedNumber(NOTHING if dash and position == 0 else "")
            if row is not None and kind == MEASURED:
                flag = footnotes.missing(row.status)
        elif kind == PUBLISHED:
            numbers[key] = MarkedNumber(shown(value, metric.decimals), row.published_mark)
        elif kind == DIFFERENCE:
            numbers[key] = MarkedNumber(signed(value, metric.fine))
            flag = flag or footnotes.difference(row.explanation)
        else:
            sd = "" if math.isnan(row.sd) else shown(row.sd, metric.decimals)
            numbers[key] = MarkedNumber(shown(value, metric.decimals), row.measured_mark, sd)
            flag = PARTIAL if row.n_images < row.of_images else "" if row.comparable else OTHER
    return Cell(kind, numbers, flag)
