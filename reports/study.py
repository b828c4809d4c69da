"""An experiment together with what was measured of it under a protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

import ablations
import results
from ablations import CostName, QualityName
from reports.arrange import arranged
from reports.costs import counted_costs, measured_costs, on_cards
from reports.incomplete import sentences
from reports.layout import Layout
from reports.notes import given_weights, training_sets, warm_starts
from reports.numbers import shown, signed
from reports.provenance import full_sets, remarks
from reports.reasons import TOLERANCE, exceeds, explanations, missing
from reports.tables import CONVENTION, METRICS, PUBLISHED_WEIGHTS, fullest, means, side_by_side
from reports.tradeoff import TradeOff, quality_over_cost
from results import definitions
from results.cost import PYTORCH
from results.gpu import load_cards


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
    """`frame` is of `results.load`, of all conventions; `counted` is of `costs.counted_costs`, `timed` of
    `costs.measured_costs`, `budget` the iterations of a training other than the paper's; a layout per scale.

    `definition` is the experiment as it is written, `experiment` the same with all scales that were run; `left_out` is
    what lies in the runs' folder and does not count, or was asked for and has no result yet. `table` is of
    `tables.side_by_side`, with the columns protocol, explanation (of `reasons.explanations`), params (thousands, as
    published), parameters and macs (counted). `others` are runs of trained variants under other protocols: where this
    one trains nothing, the table lists them with the names of theirs.
    """

    name: str
    definition: ablations.Experiment
    experiment: ablations.Experiment
    left_out: list[results.LeftOut]
    runs: list[results.Run]
    others: list[results.Run]
    frame: pd.DataFrame
    table: pd.DataFrame
    layouts: list[Layout]
    counted: pd.DataFrame
    timed: pd.DataFrame
    budget: int | None = None

    @cached_property
    def measured(self) -> list[str]:
        """The variants with results; the baseline is not one of them."""
        seen = set(self.frame.variant)
        return [name for name in self.experiment.variants if name in seen]

    @property
    def incomplete(self) -> list[str]:
        """Which runs are left out or have no result yet, in sentences."""
        return sentences(self.left_out, self.experiment)

    @property
    def weights(self) -> bool:
        """Some variant has published weights."""
        return any(not variant.trained for variant in self.experiment.variants.values())

    @property
    def findings(self) -> list[str]:
        """The agreement of a table with the paper, in sentences."""
        if not self.measured or self.experiment.published is None or self.experiment.kind == "curve":
            return []
        if self.table.difference.isna().all():
            sets = ", ".join(self.table.dataset[self.table.measured.notna()].unique())
            return [
                f"None of the measured sets ({sets}) is complete and has published values, so "
                "nothing is compared with the paper."
            ]
        compared = self.table[self.table.metric == "psnr"].dropna(subset="difference")
        found = self._agreement(compared[compared.source == PUBLISHED_WEIGHTS])
        own = compared[compared.published.notna()]  # a row of another protocol repeats no published value
        for row in own[own.variant == self.experiment.reference].itertuples():
            metric = METRICS["psnr"]
            values = [shown(value, metric.decimals) for value in (row.measured, row.published)]
            found.append(
                f"{row.label} at ×{row.scale} on {row.dataset}: {values[0]} {metric.unit} measured, "
                f"{values[1]} {metric.unit} published ({signed(row.difference, metric.decimals)} {metric.unit})."
            )
        return found

    def _agreement(self, compared: pd.DataFrame) -> list[str]:
        """How many published weights give the published PSNR, and why the others do not."""
        if compared.empty:
            return []
        apart = compared[compared.difference.map(exceeds)]
        met = len(compared) - len(apart)
        sentence = f"{met} of {len(compared)} PSNR values with published weights are within {TOLERANCE} dB of the paper"
        if apart.empty:
            return [f"{sentence}."]
        causes = ", ".join(f"{text} ({count})" for text, count in apart.explanation.value_counts(sort=False).items())
        return [f"{sentence}; explanations of the others: {causes}."]

    def trade_off(
        self,
        dataset: str | None = None,
        scale: int | None = None,
        x: CostName | None = None,
        y: QualityName | None = None,
        implementation: str = PYTORCH,
    ) -> TradeOff:
        """Quality over cost on a set, of all its networks; by default that of the experiment's figure.

        Where that names no set, it is the first one with a network. See `reports.tradeoff`.
        """
        wanted, table = self.experiment.tradeoff, self.table
        scale, x, y = scale or wanted.scale or max(self.experiment.scales), x or wanted.x, y or wanted.y
        name = dataset or wanted.dataset
        sets = [name] if name else list(dict.fromkeys([*table.dataset, self.experiment.datasets[0]]))
        for each in sets:
            found = quality_over_cost(table, self.counted, self.timed, each, scale, x, y, implementation)
            if found.points or found.below:
                break
        shown = {point.label for point in found.points}
        ours = table.label[table.variant.isin(self.experiment.ours)].unique()
        return found._replace(ours=tuple(label for label in ours if label in shown))

    @property
    def cards(self) -> list[str]:
        """The implementations that were timed on a GPU by `nox -s gpu`."""
        return [name for name in dict.fromkeys(self.timed.implementation) if name.startswith(f"{PYTORCH} on ")]

    @cached_property
    def curves(self) -> list[Curve]:
        """For an experiment that is a curve: one per scale."""
        return [self._curve(scale) for scale in self.experiment.scales]

    def explain(self, curve: Curve) -> str:
        """What a curve shows, and which published points it omits."""
        if curve.measured.empty:
            return "Nothing was measured; only values printed in the paper are drawn."
        drawn = f"{curve.measured.x.nunique()} of {len(self.experiment.variants)} networks, on {curve.dataset}."
        printed = self.table[(self.table.scale == curve.scale) & self.table.published.notna()]
        if printed.empty:
            return drawn
        labels = ", ".join(printed.label.unique())
        if len(curve.published):
            return f"{drawn} The paper prints values only for {labels}."
        return (
            f"{drawn} The paper's value for {labels} is for the complete set {', '.join(printed.dataset.unique())} "
            "and is not drawn."
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
            self.name if [scale] == self.definition.scales else f"{self.name}-x{scale}",
            scale,
            dataset,
            sorted(set(x.values())),
            points.assign(x=points.variant.map(x))[["seed", *columns]],
            printed.assign(x=printed.variant.map(x)).reindex(columns=columns),
        )


def load_study(name: str, protocol: str, root: Path = results.ROOT, display: Mapping[str, Any] | None = None) -> Study:
    """Everything that a report shows of an experiment under a protocol, with the entries `display` of its table.

    Raises ablations.AblationError for an unknown or wrong definition, results.ResultsError for a damaged file.
    """
    definition, plan = definitions.experiment(name, protocol, root), definitions.protocol(protocol, root)
    definition = ablations.shown_as(definition, name, display or {})
    name, own = ablations.name_of(name), ablations.name_of(protocol)
    runs, frame, left_out = results.collect_as(definition, name, protocol, root)
    scales = dict.fromkeys([*definition.scales, *sorted(run.scale for run in runs if run.variant != results.BASELINE)])
    experiment = definition.model_copy(update={"scales": list(scales)})
    published = results.published(experiment.published) if experiment.published else None
    trained = {} if plan.training else {key: one for key, one in experiment.variants.items() if _is_trained(one)}
    elsewhere = results.collect_elsewhere(definition, name, protocol, root) if trained else {}
    others = [run for found in elsewhere.values() for run in found.runs if run.variant in trained]
    reasons = missing(experiment, plan, runs, frame, others, left_out, definitions.left_out(protocol, root))
    table = side_by_side(experiment, frame, published, full_sets(runs), reasons).assign(protocol=own)
    table["explanation"] = explanations(table, frame)
    tables = [table]
    for other, found in elsewhere.items():
        their_frame = found.frame[found.frame.variant.isin(trained)]
        if len(their_frame):
            tables.append(_elsewhere(experiment, trained, other, their_frame, published, full_sets(found.runs)))
    table = pd.concat(tables, ignore_index=True) if len(tables) > 1 else table
    counted = counted_costs([*runs, *others])
    timed = pd.concat([measured_costs([*runs, *others]), on_cards(experiment, counted, load_cards(root))])
    table = _with_costs(experiment, table, counted, published)
    summaries = {other: definitions.protocol(other, root).summary for other in elsewhere}
    measured = set(zip(frame.variant, frame.scale, frame.seed, strict=True))
    missed = left_out if definition.kind == "table" else []  # a curve's are not hidden with its values
    starts, taught = warm_starts([*runs, *others]), training_sets([*runs, *others])
    layouts = [
        arranged(
            experiment,
            table,
            counted,
            timed if plan.training or experiment.table.costs is not None else timed[:0],
            own,
            scale,
            given=given_weights([*runs, *others]),
            trains=plan.training is not None,
            warm_starts=starts,
            training_sets=taught,
            summaries=summaries,
            incomplete={
                out.run.variant
                for out in missed
                if out.run.scale == scale and (out.run.variant, scale, out.run.seed) not in measured
            },
        )
        for scale in experiment.scales
    ]
    told = [f"{line}." for line in remarks(runs)]
    layouts = [one._replace(notes=[*sentences(missed, experiment, one.scale), *one.notes, *told]) for one in layouts]
    return Study(
        name, definition, experiment, left_out, runs, others, frame, table, layouts, counted, timed, _budget(plan)
    )


def _budget(plan: ablations.Protocol) -> int | None:
    """The iterations of a training that is not the paper's; None for the paper's, and for published weights."""
    own, papers = plan.training, ablations.load_protocol("paper").training
    if own is None or (papers and own.data == papers.data and own.deciding() == papers.deciding()):
        return None
    return own.iterations


def _is_trained(variant: ablations.Variant) -> bool:
    return variant.model is not None and variant.trained


def _elsewhere(
    experiment: ablations.Experiment,
    trained: Mapping[str, ablations.Variant],
    protocol: str,
    frame: pd.DataFrame,
    published: pd.DataFrame | None,
    images: Mapping[str, int],
) -> pd.DataFrame:
    """Rows for what was trained under another protocol: compared with the paper, not ranked, not repeating it."""
    named = {
        key: variant.model_copy(update={"label": f"{variant.label} (protocol {protocol})"})
        for key, variant in trained.items()
    }
    table = side_by_side(experiment.model_copy(update={"variants": named}), frame, published, images)
    table = table[table.measured.notna()].assign(protocol=protocol, published_mark="", measured_mark="")
    return table.assign(explanation=explanations(table, frame), published=math.nan, published_note="")


def _with_costs(
    experiment: ablations.Experiment, table: pd.DataFrame, counted: pd.DataFrame, published: pd.DataFrame | None
) -> pd.DataFrame:
    """The table with what the networks cost: params, parameters and macs."""
    printed = {} if published is None else published.set_index(["method", "scale"]).params.to_dict()
    methods = {key: variant.published for key, variant in experiment.variants.items()}
    keys = list(zip(table.variant, table.scale, strict=True))
    known = counted.set_index(["variant", "scale"])[["parameters", "macs"]].to_dict("index")
    return table.assign(
        params=[printed.get((methods.get(variant), scale), math.nan) for variant, scale in keys],
        parameters=[known.get(key, {}).get("parameters", math.nan) for key in keys],
        macs=[known.get(key, {}).get("macs", math.nan) for key in keys],
    )
