"""The figures of a report: which ones its results allow, as files and for the page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
from markupsafe import Markup

import results
from reports import figures, speed
from reports.breakdown import macs_by_part
from reports.differences import image_differences
from reports.significance import Significance
from reports.study import Study
from reports.tables import METRICS
from reports.tradeoff import QUANTITIES, CostName, TradeOff

COSTS: tuple[CostName, ...] = ("params", "macs", "latency")  # of figures for the page alone


class Drawing(NamedTuple):
    """A figure for the page, what it shows in words, and what its caption needs: the picture itself, or a sentence."""

    svg: Markup
    description: str
    picture: TradeOff | None = None
    note: str = ""
    files: tuple[str, ...] = ()  # beside the page

    def _repr_html_(self) -> str:
        return str(self.svg)


class Plan(NamedTuple):
    """A figure yet to be drawn: how, what it shows in words, and its place.

    Figures of the paper are written to files of every size, others to fewer, those for the page alone to none.
    """

    draw: figures.Draw
    description: str
    place: Literal["paper", "files", "page"] = "files"
    picture: TradeOff | None = None
    note: str = ""

    def drawn(self, svg: bytes, name: str, files: Iterable[str] = ()) -> Drawing:
        picture = figures.inline(svg, name, self.description)
        return Drawing(picture, self.description, self.picture, self.note, tuple(files))


def drawings(
    studies: Sequence[Study],
    compared: Sequence[Significance],
    runs: Sequence[results.Run],
    labels: Mapping[str, str],
    root: Path,
    folder: Path,
) -> dict[str, Drawing]:
    """Every figure by name; writes its files (of `figures.files`) to `folder`.

    tradeoff-<experiment>, and the same over other costs for the page alone; one per curve and scale;
    differences-<experiment> of a table; training, breakdown and speed-<number>: each where there is something to draw.
    `compared` is of `significance.significances`; `labels` are those of the variants of `runs`. Raises ResultsError for
    a damaged file.
    """
    drawn = {}
    planned = chain(_planned(studies, runs, labels, root), _differences(studies, compared))
    for name, plan in planned:
        files: dict[str, bytes] = {}
        if plan.place == "page":
            svg = figures.save(plan.draw(figures.PAGE), "svg")
        else:
            files = figures.files(name, plan.draw, wide=plan.place == "paper")
            svg = files[f"{name}.svg"]
            for file, content in files.items():
                results.write(folder / file, content)
        drawn[name] = plan.drawn(svg, name, files)
    return drawn


def shown(study: Study, root: Path) -> dict[str, Drawing]:
    """The figures of one experiment and of its runs by name, without files. Raises ResultsError for a damaged file."""
    labels = {results.BASELINE: "Bicubic"} | {name: one.label for name, one in study.experiment.variants.items()}
    drawn = {}
    for name, plan in _planned([study], study.runs, labels, root):
        svg = figures.save(plan.draw(figures.PAGE), "svg")
        drawn[name] = plan.drawn(svg, name)
    return drawn


def _planned(
    studies: Sequence[Study], runs: Sequence[results.Run], labels: Mapping[str, str], root: Path
) -> Iterator[tuple[str, Plan]]:
    for one in studies:
        if one.experiment.kind == "table":
            yield from _trade_offs(one)
        for curve in one.curves if one.experiment.kind == "curve" else ():
            if curve.measured.x.nunique() > 1:  # a single point is told in words
                draw = partial(figures.depth, curve, str(one.experiment.x))
                yield curve.name, Plan(draw, one.experiment.caption, "paper")
    if curves := _training_curves(runs, labels):
        note = "Then PSNR on the validation images." if figures.validated(curves) else ""
        yield "training", Plan(partial(figures.training, curves), "Training loss over the iterations", note=note)
    if parts := _parts(studies, labels):
        yield "breakdown", Plan(partial(figures.breakdown, parts), "MACs of networks by part")
    for number, measured in enumerate(speed.load_speed(root), start=1):
        description = f"Time and memory over the size of the image, ×{measured.scale}, {measured.conditions}"
        yield f"speed-{number}", Plan(partial(figures.growth, measured), description)


def _trade_offs(one: Study) -> Iterator[tuple[str, Plan]]:
    wanted = one.experiment.tradeoff
    for x in dict.fromkeys([wanted.x, *COSTS]):
        picture = one.trade_off(x=x)
        if _comparable(picture):
            description = f"{METRICS[picture.y].name} over {QUANTITIES[x].name} on {picture.dataset}, ×{picture.scale}"
            draw = partial(figures.trade_off, picture)
            if x == wanted.x:
                yield f"tradeoff-{one.name}", Plan(draw, description, "paper", picture)
            else:
                yield f"tradeoff-{one.name}-{x}", Plan(draw, description, "page", picture)
    for number, implementation in enumerate(one.cards, start=1):
        picture = one.trade_off(x="latency", implementation=implementation)
        if _comparable(picture):
            description = (
                f"{METRICS[picture.y].name} over latency on {picture.dataset}, ×{picture.scale}, {implementation}"
            )
            draw = partial(figures.trade_off, picture)
            yield f"tradeoff-{one.name}-gpu-{number}", Plan(draw, description, "page", picture)


def _comparable(picture: TradeOff) -> bool:
    return len({point.label for point in picture.points}) > 1


def _differences(studies: Sequence[Study], compared: Sequence[Significance]) -> Iterator[tuple[str, Plan]]:
    """PSNR of single images of a table against its reference: at its largest scale, on the set with most images."""
    tables = {one.name: one for one in studies if one.experiment.kind == "table"}
    for one in compared:
        if one.name not in tables:
            continue
        study, rows = tables[one.name], one.table[one.table.metric == "psnr"]
        rows = rows[(rows.reference == study.experiment.reference) & (rows.scale == max(study.experiment.scales))]
        rows = rows[rows.n_images == rows.n_images.max()]
        rows = rows[rows.dataset == rows.dataset.iloc[0]] if len(rows) else rows
        single = (rows.n_trainings == 1) & rows.variant.isin(study.table.variant[study.table.source == "run"])
        # an interval over images alone would be read as one that also holds for another training
        rows = rows.assign(**{end: rows[end].mask(single) for end in ("low", "high")})
        if len(rows) and (found := image_differences(study.frame, rows)):
            description = f"PSNR of each image of {found.dataset}, ×{found.scale}, minus that of {found.reference}"
            banded = any(panel.interval for panel in found.panels.values())
            note = "The dashed line is the mean" + (
                ", and the band its 95% interval, for this pair alone." if banded else "."
            )
            if single.any():
                note += " Without several trainings of both networks there is no band."
            yield f"differences-{one.name}", Plan(partial(figures.differences, found), description, note=note)


def _training_curves(runs: Sequence[results.Run], labels: Mapping[str, str]) -> dict[str, list[pd.DataFrame]]:
    """training.csv of every run that has one, by label. Raises ResultsError for one that cannot be read."""
    curves: dict[str, list[pd.DataFrame]] = {}
    scales = {run.scale for run in runs}
    for run in runs:
        path = run.path("training.csv")
        if not run.intact("training.csv"):
            continue
        try:
            curve = pd.read_csv(path).astype({"iteration": int, "loss": float})
        except (ValueError, KeyError) as error:
            raise results.ResultsError(f"{path}: not a table with iteration and loss ({error})") from error
        if len(curve):
            label = labels[run.variant]
            curves.setdefault(label if len(scales) == 1 else f"{label} ×{run.scale}", []).append(curve)
    return curves


def _parts(studies: Sequence[Study], labels: Mapping[str, str]) -> dict[str, dict[str, int]]:
    """MACs by part of the variants that experiments name for it, by label, each at the largest scale."""
    found: dict[str, dict[str, int]] = {}
    for one in studies:
        for run in (*one.runs, *one.others):
            if run.variant in one.experiment.breakdown and run.scale == max(one.experiment.scales):
                found.setdefault(labels[run.variant], {}).update(macs_by_part(run))
    return {label: parts for label, parts in found.items() if parts}
