"""By how much the reference of an ablation leads its variants, after one budget of training or several.

The gap is the reference's mean PSNR minus the variant's on the set that the protocols registered as the outcome. Its
interval is that of `reports.contrasts` over images and trainings, widened to hold at once for all variants that were to
be judged, whether they are at hand or not. A gap agrees with the paper in direction where this interval excludes zero
on the side of the printed gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import ablations
import results
from reports import statistics
from reports.contrasts import Contrast, compute_contrasts
from reports.study import load_study
from results import definitions

GapWord = Literal["agrees in direction", "disagrees in direction", "open", "not judged"]


class Gap(NamedTuple):
    """The reference minus a variant in dB, after a budget, and what the paper prints (NaN if nothing).

    `low` and `high` are of the interval, NaN with one training of each; `seeds` are trainings of the two that differ
    least in number.
    """

    variant: str
    label: str
    iterations: int
    difference: float
    low: float
    high: float
    seeds: int
    published: float
    word: GapWord


class Gaps(NamedTuple):
    """The gaps of an experiment by budget and variant, on one set at one scale."""

    title: str
    reference: str
    dataset: str
    scale: int
    images: int
    gaps: Sequence[Gap]

    @property
    def budgets(self) -> list[int]:
        """The iterations of the trainings, shortest first."""
        return sorted({gap.iterations for gap in self.gaps})

    @property
    def labels(self) -> list[str]:
        return list(dict.fromkeys(gap.label for gap in self.gaps))


def load_gaps(protocols: Iterable[str], root: Path = results.ROOT, experiment: str = "table2") -> Gaps | None:
    """The gaps of an experiment under protocols that registered an outcome; None where nothing can be compared.

    Raises ablations.AblationError and results.ResultsError.
    """
    found: list[Gap] = []
    place = None
    for name in protocols:
        plan = definitions.protocol(name, root)
        if plan.registered is None or plan.training is None:
            continue
        study = load_study(experiment, name, root)
        wanted, scale = study.definition, max(study.definition.scales)
        rows = study.table[(study.table.dataset == plan.registered.dataset) & (study.table.metric == "psnr")]
        printed = dict(zip(rows.variant, rows.published, strict=True))
        base = wanted.reference
        contrasts = [
            Contrast(scale, plan.registered.dataset, base, one, "psnr") for one in wanted.variants if one != base
        ]
        table = compute_contrasts(study.frame, contrasts)
        if table.empty:
            continue
        once = table[["n_seeds", "reference_seeds"]].min(axis=1) < 2
        table.loc[once, ["low", "high"]] = math.nan  # an interval over images alone would say nothing of networks
        judged = table.reference.isin(plan.registered.judged)
        for rows_of, which in ((judged, True), (~judged, False)):
            family = len(plan.registered.judged) if which else 1
            lows, highs, freedom = (table[key].where(rows_of) for key in ("low", "high", "freedom"))
            low, high = statistics.joint_intervals(lows, highs, freedom, family)
            for row, lower, upper in zip(table.itertuples(), low, high, strict=True):
                if not rows_of[row.Index]:
                    continue
                published = printed.get(base, math.nan) - printed.get(row.reference, math.nan)
                word = _word(published, lower, upper) if which else "not judged"
                found.append(
                    Gap(
                        row.reference, wanted.variants[row.reference].label, plan.training.iterations, row.difference,
                        lower, upper, min(row.n_seeds, row.reference_seeds), published, word,
                    )
                )  # fmt: skip
        place = (wanted.title, wanted.variants[base].label, plan.registered.dataset, scale, int(table.n_images.max()))
    if place is None:
        return None
    order = list(ablations.load_experiment(experiment).variants)
    return Gaps(*place, sorted(found, key=lambda gap: (order.index(gap.variant), gap.iterations)))


def _word(published: float, low: float, high: float) -> GapWord:
    if not (low > 0 or high < 0) or not abs(published) > 0:  # NaN excludes nothing
        return "open"
    return "agrees in direction" if (low > 0) == (published > 0) else "disagrees in direction"
