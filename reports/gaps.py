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
from reports.study import Study, load_study
from results import definitions

GapWord = Literal["agrees in direction", "disagrees in direction", "open", "not judged"]


class Gap(NamedTuple):
    """The reference minus a variant in dB, after a budget, and what the paper prints (NaN if nothing).

    `low` and `high` are of the interval, NaN with too few images; `seeds` are trainings of the two that differ
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

    @property
    def judged(self) -> bool:
        """Whether a protocol registered, before any number was seen, what some of the gaps are judged by."""
        return any(gap.word != "not judged" for gap in self.gaps)

    @property
    def bars(self) -> str:
        """What the intervals of the figure are, in a sentence."""
        known = [gap for gap in self.gaps if not math.isnan(gap.low)]
        if not known and max(gap.seeds for gap in self.gaps) == 1:
            return "One training of each network has no interval."
        if not known:
            return "There are too few images for an interval."
        which = "all judged variants" if self.judged else "all variants"
        single = [gap.seeds == 1 for gap in self.gaps if math.isnan(gap.low)]
        alone = " A mark without a bar is one training." if single and all(single) else ""
        return f"Bars are 95% intervals over images and trainings, widened to hold for {which} together.{alone}"


def load_gaps(protocols: Iterable[str], root: Path = results.ROOT, experiment: str = "table2") -> Gaps | None:
    """The gaps of an experiment under protocols that registered an outcome; None where nothing can be compared.

    Raises ablations.AblationError and results.ResultsError.
    """
    plans = {name: definitions.protocol(name, root) for name in protocols}
    each = [study_gaps(load_study(experiment, name, root), plan) for name, plan in plans.items() if plan.registered]
    found = [one for one in each if one and one.judged]
    if not found:
        return None
    order = list(ablations.load_experiment(experiment).variants)
    gaps = (gap for one in found for gap in one.gaps)
    return found[-1]._replace(gaps=sorted(gaps, key=lambda gap: (order.index(gap.variant), gap.iterations)))


def study_gaps(study: Study, plan: ablations.Protocol) -> Gaps | None:
    """The gaps of one study of networks that were trained under `plan`; None where nothing can be compared.

    They are on the set that the protocol registered, else, and then without a verdict, on the measured set with the
    most images. At the largest scale of the experiment's definition.
    """
    wanted, scale, base = study.definition, max(study.definition.scales), study.definition.reference
    rows = study.table[(study.table.scale == scale) & (study.table.metric == "psnr")]
    measured = rows[rows.measured.notna() & (rows.variant == base)]
    if plan.training is None or measured.empty:
        return None
    registered = plan.registered if plan.registered and plan.registered.dataset in set(measured.dataset) else None
    dataset = registered.dataset if registered else str(measured.dataset[measured.n_images.idxmax()])
    whole = rows[(rows.dataset == dataset) & (rows.n_images == rows.of_images)]  # a part of a set is not compared
    printed = dict(zip(whole.variant, whole.published, strict=True))
    contrasts = [Contrast(scale, dataset, base, one, "psnr") for one in wanted.variants if one != base]
    table = compute_contrasts(study.frame, contrasts)
    if table.empty:
        return None
    once = table[["n_seeds", "reference_seeds"]].min(axis=1) < 2
    table.loc[once, ["low", "high"]] = math.nan  # an interval over images alone would say nothing of networks
    judged = table.reference.isin(registered.judged if registered else ())
    found = []
    for rows_of, which in ((judged, True), (~judged, False)):
        family = len(registered.judged) if registered and which else 1
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
    order = list(wanted.variants)
    found.sort(key=lambda gap: order.index(gap.variant))
    return Gaps(wanted.title, wanted.variants[base].label, dataset, scale, int(table.n_images.max()), found)


def _word(published: float, low: float, high: float) -> GapWord:
    if not abs(published) > 0:  # no gap in the paper
        return "not judged"
    if not (low > 0 or high < 0):  # NaN excludes nothing
        return "open"
    return "agrees in direction" if (low > 0) == (published > 0) else "disagrees in direction"
