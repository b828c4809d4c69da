"""Which rows and columns a table has, and what stands in them: a table of results, arranged as its experiment says."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import pandas as pd

from ablations import Experiment, TableDisplay
from reports.costs import in_pytorch
from reports.incomplete import SIGN, SIGN_NOTE
from reports.layout import DIFFERENCE, HEADINGS, MEASURED, PUBLISHED, Cell, ColumnGroup, Layout, Row
from reports.notes import (
    OTHER,
    PARTIAL,
    Footnotes,
    about_costs,
    about_measurements,
    about_training,
    about_variant,
    trained_on,
)
from reports.numbers import NOTHING, UNKNOWN, MarkedNumber, shown, signed
from reports.tables import METRICS, Metric, with_marks
from results import BASELINE, STATES

# the columns of a cost; parameters as published and as counted, or as counted alone
TITLES = {"params": ("Params", "Counted", "Parameters"), "macs": ("GMACs",), "latency": ("Latency, ms",)}

_Cells = dict[tuple[str, str, str, str], Any]  # variant, protocol, set, metric -> row of the comparison


def arranged(
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
    incomplete: Collection[str] = (),
) -> Layout:
    """Arrange what an experiment shows of a table of `study.load_study`, and of costs what holds for one size of image:
    `costs.counted_costs`, and the latency of `costs.measured_costs` in PyTorch where it was measured at the size that
    was counted.

    `warm_starts`, `training_sets` and `given` are of `notes`; `summaries` are those of the other protocols here.
    `trains`: the protocol trains networks. `incomplete` are variants of which some run has no quality that counts.
    """
    display = experiment.table
    metrics = METRICS | {name: METRICS[name].with_decimals(decimals) for name, decimals in display.decimals.items()}
    table = _ranked(_chosen(display, table[table.scale == scale]), protocol, metrics)
    cells: _Cells = {(row.variant, row.protocol, row.dataset, row.metric): row for row in table.itertuples()}
    baseline = table[table.variant == BASELINE]
    labels = dict(zip(baseline.variant, baseline.label, strict=True))  # none where it was not measured
    labels |= {name: variant.label for name, variant in experiment.variants.items()}
    if display.variants is not None:
        labels = {name: labels[name] for name in display.variants if name in labels}
    counted = counted[(counted.scale == scale) & counted.variant.isin(labels)]
    counted = counted.assign(label=lambda frame: frame.variant.map(labels))
    timed = in_pytorch(timed)
    timed = timed[(timed.scale == scale) & timed.lr_size.isin(counted.lr_size) & timed.variant.isin(labels)]
    timed = timed.assign(label=lambda frame: frame.variant.map(labels))
    here = table[table.source.eq("run") & table.protocol.eq(protocol)]
    trained = trains and len(here) > 0
    footnotes = Footnotes()
    groups, places = _columns(experiment, table, footnotes)
    shown_costs = _costs(display, counted, timed, table)
    metrics = {name: metrics[name] for name in display.metrics}
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
                [_cell(cells, footnotes, metrics, (variant, name, dataset), kind, own) for kind, dataset in group]
                for group in places
            ]
            if own and variant in incomplete and not any(cell.state for group in found for cell in group):
                flag = ",".join([flag, SIGN] if flag else [SIGN])
            heading = display.heading(variant)
            block = "" if display.rows else heading or str(bool(definition and definition.published))
            images = trained_on(definition, training_sets.get((name, variant, scale), ""), own)
            ours = own and variant in experiment.ours
            rows.append(Row(variant, line, flag, spent, found, block, heading * display.headings, images, ours))
    kinds = {kind for group in places for kind, _ in group}
    titles = [f"{metric.name} in {metric.unit}" if metric.unit else metric.name for metric in metrics.values()]
    notes = [SIGN_NOTE] if any(SIGN in row.flag for row in rows) else []
    notes += about_measurements(table) + about_costs(
        *(
            rows if set(TITLES[name]) & set(shown_costs) else rows[:0]
            for name, rows in (("macs", counted), ("latency", timed))
        )
    )
    absent = [name for name in display.costs or [] if not set(TITLES[name]) & set(shown_costs)]
    notes += [f"No value of {', '.join(absent)} for an image of this size."] if absent else []
    without = [name for name in display.datasets or [] if name not in {group.title for group in groups}]
    notes += [f"No value on {', '.join(without)}."] if without else []
    if trained and here.variant.nunique() > 1 and (here.n_seeds < 2).any():
        notes.append("Networks trained once are not ranked: another training may change the order.")
    taught = {row.trained_on.published for row in rows} - {""}
    training = len(taught) > 1
    notes += about_training(taught, {row.label: row.trained_on.here for row in rows})
    return Layout(
        scale, titles, list(shown_costs), groups, rows, PUBLISHED in kinds, MEASURED in kinds, notes, footnotes.texts,
        training,
    )  # fmt: skip


def _chosen(display: TableDisplay, table: pd.DataFrame) -> pd.DataFrame:
    """The rows and sets that are shown."""
    if display.variants is not None:
        table = table[table.variant.isin(display.variants)]
    if display.datasets is not None:
        table = table[table.dataset.isin(display.datasets)]
    return table


def _ranked(table: pd.DataFrame, protocol: str, metrics: Mapping[str, Metric]) -> pd.DataFrame:
    """Ranks are those among what is shown; rows of other protocols have none."""
    own = table.protocol == protocol
    table = table.astype({"published_mark": object, "measured_mark": object})
    ranked = with_marks(table[own], metrics)
    table.loc[own, ["published_mark", "measured_mark"]] = ranked[["published_mark", "measured_mark"]]
    return table


_Places = list[list[tuple[str, str]]]  # kind and set of every column, by group


def _columns(experiment: Experiment, table: pd.DataFrame, footnotes: Footnotes) -> tuple[list[ColumnGroup], _Places]:
    """Each set with those of its columns that hold a value; a set on which no network was measured says why."""
    wanted: list[str] = list(experiment.table.values)
    groups, places = [], []
    for name in dict.fromkeys(experiment.table.datasets or [*experiment.datasets, *table.dataset]):
        kinds = [kind for kind in HEADINGS if kind in wanted and _any(table, name, kind)]
        if not kinds:
            continue
        baseline = table[
            (table.dataset == name) & (table.variant == BASELINE)
        ]  # measured wherever images are available
        absent = MEASURED in wanted and MEASURED not in kinds
        reason = next(iter(baseline.status), "") if absent else ""
        reason = "" if reason in STATES else reason
        groups.append(ColumnGroup(name, [HEADINGS[kind] for kind in kinds], footnotes.missing(reason)))
        places.append([(kind, name) for kind in kinds])
    return groups, places


def _any(table: pd.DataFrame, dataset: str, column: str) -> bool:
    return bool(table[table.dataset == dataset][column].notna().any())


def _costs(
    display: TableDisplay, counted: pd.DataFrame, timed: pd.DataFrame, table: pd.DataFrame
) -> dict[str, dict[str, str]]:
    """The columns of cost that are shown and of which something is known, by title, each by variant."""
    wanted = list(TITLES) if display.costs is None else display.costs
    printed = table.dropna(subset="params") if PUBLISHED in display.values else table[:0]
    published, beside, alone = TITLES["params"]
    columns: dict[str, dict[str, str]] = {}
    for name in wanted:
        if name == "params":
            if len(printed):
                columns[published] = {row.variant: f"{row.params:,g}K" for row in printed.itertuples()}
            if MEASURED in display.values or not len(printed):
                own = beside if len(printed) else alone
                columns[own] = {row.variant: shown(row.parameters, 0) for row in counted.itertuples()}
            continue
        (title,) = TITLES[name]
        rows = counted.macs / 1e9 if name == "macs" else timed.latency_s * 1e3
        variants, decimals = (counted.variant, 2) if name == "macs" else (timed.variant, 1)
        columns[title] = {variant: shown(value, decimals) for variant, value in zip(variants, rows, strict=True)}
    return {title: column for title, column in columns.items() if set(column.values()) - {NOTHING}}


def _cell(
    cells: _Cells,
    footnotes: Footnotes,
    metrics: Mapping[str, Metric],
    place: tuple[str, str, str],
    kind: str,
    own: bool,
) -> Cell:
    """`own`: of the report's protocol; a row of another one repeats no published value."""
    variant, protocol, dataset = place
    numbers: dict[str, MarkedNumber] = {}
    flag = state = ""
    for position, (key, metric) in enumerate(metrics.items()):
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
                state = row.status if row.status in STATES else ""
                flag = "" if state else footnotes.missing(row.status)
        elif kind == PUBLISHED:
            numbers[key] = MarkedNumber(shown(value, metric.decimals), row.published_mark)
        elif kind == DIFFERENCE:
            numbers[key] = MarkedNumber(signed(value, metric.fine))
            flag = flag or footnotes.difference(row.explanation)
        else:
            sd = "" if math.isnan(row.sd) else shown(row.sd, metric.decimals)
            numbers[key] = MarkedNumber(shown(value, metric.decimals), row.measured_mark, sd)
            flag = PARTIAL if row.n_images < row.of_images else "" if row.comparable else OTHER
    return Cell(kind, numbers, flag, state)
