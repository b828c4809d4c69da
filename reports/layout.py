"""The rows and columns of a comparison, in words and digits: the same for the page and for LaTeX."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import pandas as pd

from ablations import Experiment
from reports.costs import conditions
from reports.tables import METRICS
from results import BASELINE

NOTHING = "–"
PARTIAL, OTHER = "†", "‡"


Cells = dict[tuple[str, str, str], Any]  # variant, set, metric -> row of the comparison


class Entry(NamedTuple):
    """A number as it is displayed; `mark` is "best", "second" or "", `sd` and `difference` may be empty."""

    value: str
    mark: str = ""
    sd: str = ""
    difference: str = ""


class Cell(NamedTuple):
    """What a table says of a variant on a set."""

    entries: dict[str, Entry]  # by metric
    flag: str = ""


class Row(NamedTuple):
    """A variant: its published and measured cells in the order of the layout's sets."""

    variant: str
    label: str
    note: str
    parameters: str
    macs: str
    latency: str
    published: list[Cell]
    measured: list[Cell]

    @property
    def compared(self) -> bool:
        """Some cell bears a difference to the paper."""
        return any(entry.difference for cell in self.measured for entry in cell.entries.values())


class Layout(NamedTuple):
    """A table of one scale. A group without sets has nothing to show."""

    scale: int
    published: list[str]
    measured: list[str]
    rows: list[Row]
    notes: list[str]
    cost_notes: list[str]

    @property
    def costed(self) -> bool:
        """Some cost is known."""
        return any({row.parameters, row.macs, row.latency} != {NOTHING} for row in self.rows)

    @property
    def compared(self) -> bool:
        return any(row.compared for row in self.rows)


def layout(experiment: Experiment, table: pd.DataFrame, costs: pd.DataFrame, sets: list[str], scale: int) -> Layout:
    """Arrange a table of `tables.compare` and one of `costs.costs`; `sets` are those that the protocol measures."""
    table = table[table.scale == scale]
    published = [name for name in experiment.datasets if table[table.dataset == name].published.notna().any()]
    seen = [name for name in dict.fromkeys(table.dataset) if table[table.dataset == name].measured.notna().any()]
    measured = list(dict.fromkeys([*sets, *seen])) if seen else []
    cells: Cells = {(row.variant, row.dataset, row.metric): row for row in table.itertuples()}
    labels = dict(zip(table.variant, table.label, strict=True))
    costs = costs[costs.scale == scale].assign(label=lambda frame: frame.variant.map(labels))
    cost = {row.variant: row for row in costs.itertuples()}
    rows = []
    for variant in [BASELINE, *experiment.variants]:
        definition = experiment.variants.get(variant)
        if definition is None and variant not in labels:
            continue  # the baseline was not measured
        spent = cost.get(variant)
        rows.append(
            Row(
                variant=variant,
                label=definition.label if definition else labels[variant],
                note=(definition.note if definition else None) or "",
                parameters=shown(spent.parameters if spent else None, 0),
                macs=shown(spent.macs / 1e9 if spent else None, 2),
                latency=shown(spent.latency_s * 1e3 if spent else None, 1),
                published=[_published(cells, variant, name) for name in published],
                measured=[_measured(cells, variant, name) for name in measured],
            )
        )
    return Layout(scale, published, measured, rows, _notes(table), _cost_notes(costs))


def shown(value: float | None, decimals: int) -> str:
    """A number, rounded once and here, with a comma between thousands; a dash where there is none."""
    if value is None or math.isnan(value):
        return NOTHING
    return "∞" if math.isinf(value) else f"{value:,.{decimals}f}"


def signed(value: float, decimals: int) -> str:
    """A difference with its sign; none for what rounds to zero."""
    text = shown(value, decimals)
    if text == NOTHING or not float(text.replace("∞", "inf").replace(",", "")):
        return text.replace("-", "")
    return text.replace("-", "−") if value < 0 else f"+{text}"


def _published(cells: Cells, variant: str, dataset: str) -> Cell:
    entries = {}
    for key, metric in METRICS.items():
        row = cells.get((variant, dataset, key))
        mark = row.published_mark if row else ""
        entries[key] = Entry(shown(row.published if row else None, metric.decimals), mark)
    return Cell(entries)


def _measured(cells: Cells, variant: str, dataset: str) -> Cell:
    entries, flag = {}, ""
    for key, metric in METRICS.items():
        row = cells.get((variant, dataset, key))
        if row is None or math.isnan(row.measured):
            entries[key] = Entry(NOTHING)
            continue
        entries[key] = Entry(
            value=shown(row.measured, metric.decimals),
            mark=row.measured_mark,
            sd="" if math.isnan(row.sd) else shown(row.sd, metric.decimals),
            difference="" if math.isnan(row.difference) else signed(row.difference, metric.decimals),
        )
        flag = PARTIAL if row.n_images < row.of_images else "" if row.comparable else OTHER
    return Cell(entries, flag)


def _notes(table: pd.DataFrame) -> list[str]:
    """What the numbers alone do not tell."""
    measured = table[table.measured.notna() & (table.metric == next(iter(METRICS)))]
    notes = []
    for dataset, column in measured.groupby("dataset", sort=False):
        counts = column.groupby(["n_images", "of_images", "lr_origin"], sort=False).label.agg(list)
        for (images, of_images, origin), labels in counts.items():
            who = "" if len(counts) == 1 else f" ({', '.join(labels)})"
            part = f"{PARTIAL} {images:g} of {of_images:g}" if images < of_images else f"{images:g}"
            plural = "s" if of_images > 1 else ""
            notes.append(f"{dataset}: {part} image{plural}, LR {origin}{who}.")
    if (measured.n_images < measured.of_images).any():
        notes.append(f"{PARTIAL} A part of a set is not ranked against the full set and not compared with the paper.")
    if ((measured.n_images == measured.of_images) & measured.comparable.eq(False)).any():
        notes.append(f"{OTHER} Other images than the rest of its column; not ranked.")
    notes += [
        f"{row.label} on {row.dataset}: infinite PSNR (SR equal to HR), {row.n_infinite:g} times, left out of the mean."
        for row in measured[measured.n_infinite > 0].itertuples()
    ]
    trained = measured[measured.variant != BASELINE]
    networks = trained.groupby("label", sort=False).n_seeds.agg(
        lambda counts: "/".join(f"{count:g}" for count in dict.fromkeys(counts))
    )
    spread = "; ± is their standard deviation" if measured.sd.notna().any() else ""
    if networks.nunique() == 1:
        notes.append(f"Seeds per network: {networks.iloc[0]}{spread}.")
    elif len(networks):
        each = ", ".join(f"{label} {count}" for label, count in networks.items())
        notes.append(f"Seeds per network: {each}{spread}.")
    return notes


def _cost_notes(costs: pd.DataFrame) -> list[str]:
    notes = [f"Latency: {text}." for text in conditions(costs, "latency")]
    return notes + [f"MACs: multiply-adds of one image, {text}." for text in conditions(costs, "macs")]
