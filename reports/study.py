"""An experiment together with what was measured of it under a protocol."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

import ablations
import results
from reports.costs import costs
from reports.layout import Layout, layout, shown, signed
from reports.provenance import full_sets
from reports.tables import CONVENTION, METRICS, compare, fullest, means


class Curve(NamedTuple):
    """Points over the setting that a curve varies, on one set; columns x, psnr, ssim, and seed where measured."""

    name: str  # of its files
    scale: int
    dataset: str  # and how much of it, if not all
    xs: list[float]  # of all networks, measured or not
    measured: pd.DataFrame
    published: pd.DataFrame


@dataclass(frozen=True)
class Study:
    """`frame` is of `results.load`, `table` of `tables.compare`; a layout per scale."""

    name: str
    experiment: ablations.Experiment
    runs: list[results.Run]
    frame: pd.DataFrame
    table: pd.DataFrame
    layouts: list[Layout]

    @cached_property
    def measured(self) -> list[str]:
        """The variants with results; the baseline is not one of them."""
        seen = set(self.frame.variant)
        return [name for name in self.experiment.variants if name in seen]

    @property
    def findings(self) -> list[str]:
        """How far the reference variant of a table is from the paper, in sentences."""
        if not self.measured or self.experiment.published is None or self.experiment.kind == "curve":
            return []
        if self.table.difference.isna().all():
            sets = ", ".join(self.table.dataset[self.table.measured.notna()].unique())
            return [
                f"None of the measured sets ({sets}) is a whole set with published values: "
                "nothing is compared with the paper."
            ]
        found = []
        rows = self.table[self.table.variant == self.experiment.reference].dropna(subset="difference")
        for row in rows[rows.metric == "psnr"].itertuples():
            metric = METRICS["psnr"]
            values = [shown(value, metric.decimals) for value in (row.measured, row.published)]
            found.append(
                f"{row.label} at ×{row.scale} on {row.dataset}: {values[0]} {metric.unit} measured, "
                f"{values[1]} {metric.unit} published ({signed(row.difference, metric.decimals)} {metric.unit})."
            )
        return found

    @cached_property
    def curves(self) -> list[Curve]:
        """For an experiment that is a curve: one per scale."""
        return [self._curve(scale) for scale in self.experiment.scales]

    def explain(self, curve: Curve) -> str:
        """What a curve shows, and which published points it cannot."""
        if curve.measured.empty:
            return "Nothing measured: only what the paper gives in numbers is drawn."
        drawn = f"{curve.measured.x.nunique()} of {len(self.experiment.variants)} networks, on {curve.dataset}."
        printed = self.table[(self.table.scale == curve.scale) & self.table.published.notna()]
        if printed.empty:
            return drawn
        labels = ", ".join(printed.label.unique())
        if len(curve.published):
            return f"{drawn} The paper gives a number for {labels} only."
        return (
            f"{drawn} The paper's number, for {labels}, is of {', '.join(printed.dataset.unique())} as a whole "
            "and not drawn."
        )

    def _curve(self, scale: int) -> Curve:
        """The points on the paper's set where it was measured, else on the first set that was."""
        key = str(self.experiment.x)
        x = {name: variant.config[key] for name, variant in self.experiment.variants.items()}
        frame = self.frame[(self.frame.scale == scale) & (self.frame.convention == CONVENTION)]
        points = means(frame[frame.variant.isin(list(x))])
        sets = [*(name for name in self.experiment.datasets if name in set(points.dataset)), *points.dataset]
        dataset = sets[0] if sets else self.experiment.datasets[0]
        points = points[points.dataset == dataset]
        rows = self.table[(self.table.scale == scale) & (self.table.dataset == dataset)]
        printed = rows.dropna(subset="published")
        if len(points):
            common = fullest(points.pictures)
            points = points[[seen == common for seen in points.pictures]]
            if len(common) < rows.of_images.max():
                dataset = f"{dataset} ({len(common)} of {rows.of_images.max():g} images)"
                printed = printed[:0]  # a part of a set is not compared with the full one
        printed = printed.pivot(index="variant", columns="metric", values="published").reset_index()
        columns = ["x", *METRICS]
        return Curve(
            self.name if len(self.experiment.scales) == 1 else f"{self.name}-x{scale}",
            scale,
            dataset,
            sorted(set(x.values())),
            points.assign(x=points.variant.map(x))[["seed", *columns]],
            printed.assign(x=printed.variant.map(x)).reindex(columns=columns),
        )


def load(name: str, protocol: str, root: Path = results.ROOT) -> Study:
    """Everything a report says of an experiment under a protocol.

    Raises ablations.AblationError for an unknown or wrong definition, results.ResultsError for a damaged file.
    """
    experiment = ablations.load_experiment(name)
    runs = results.runs(name, protocol, root)
    frame = results.load(name, protocol, root)
    published = results.published(experiment.published) if experiment.published else None
    table = compare(experiment, frame, published, full_sets(runs))
    sets = ablations.load_protocol(protocol).evaluation.datasets
    spent = costs(runs)
    layouts = [layout(experiment, table, spent, sets, scale) for scale in experiment.scales]
    return Study(Path(name).stem, experiment, runs, frame, table, layouts)
