"""Paired comparisons of variants over the images of a set: how large a difference is, and how sure.

Both variants are averaged over their seeds first; then their difference is taken image by image. Its mean has a 95%
interval by the bias-corrected and accelerated bootstrap (BCa; Efron 1987), and is tested by Wilcoxon's signed ranks
(1945), corrected over a family of tests by Holm's step-down procedure (1979). Interval and test speak of other images;
how much another training would change is the variance over seeds, which is told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

import ablations
from ablations import Experiment
from reports.study import Study
from reports.tables import CONVENTION, METRICS, RUN, WEIGHTS, fullest, means
from results import BASELINE

CONFIDENCE = 0.95
LEVEL = 0.05  # of the tests
RESAMPLES = 2000
FEWEST = 6  # differences that are not zero: the smallest p-value of n of them, 2 / 2**n, is above LEVEL for fewer


class Comparison(NamedTuple):
    """`variant` minus `reference`: their difference in a metric on a set."""

    scale: int
    dataset: str
    variant: str
    reference: str
    metric: str


class Compared(NamedTuple):
    """What the page says of an experiment.

    The table of `against`, never empty, has more columns here: name and fine (of Metric), p_told and p_holm_told.
    """

    name: str  # of the study
    title: str
    references: list[str]  # labels
    table: pd.DataFrame
    notes: list[str]


def interval(differences: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The 95% BCa bootstrap interval of the mean of some differences, the same each time.

    NaN and NaN for fewer than two. Equal differences have their own value as both ends, as every resample has it for
    its mean: that is no proof that other images would give it too.
    """
    low, high = _intervals(np.asarray(differences, dtype=float)[None])[0]
    return float(low), float(high)


def signed_rank(differences: Sequence[float] | np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test of some differences.

    Exact up to 50 differences without ties, and up to 13 with them; else by the normal approximation with correction
    for continuity. Zeros are left out. NaN where fewer than FEWEST are not zero: no outcome could be significant.
    """
    return float(_signed_ranks(np.asarray(differences, dtype=float)[None])[0])


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p-values corrected for testing all of them (Holm 1979); NaN, no test, stays and counts for nothing."""
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN sort last
    corrected = np.full(len(p), np.nan)
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return corrected


def over_seeds(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs that count (of `tables.means`), and every image's mean over their seeds, from one of `results.load`.

    Seeds that saw fewer images than others of their variant do not count. The second is indexed by scale, dataset,
    image, lr_origin and variant. Raises ResultsError where a number is missing.
    """
    frame = frame[frame.convention == CONVENTION]
    runs = _full_runs(means(frame))
    frame = frame.merge(runs[[*RUN, "dataset"]], on=[*RUN, "dataset"])
    images = frame.groupby(["scale", "dataset", "image", "lr_origin", "variant"], sort=False)[list(METRICS)].mean()
    return runs, images


def compare(frame: pd.DataFrame, comparisons: Iterable[Comparison]) -> pd.DataFrame:
    """A row for each comparison with at least one image in common, from a frame of `results.load`.

    Columns: those of Comparison; n_images (in pairs), n_unpaired (of one variant only, or of another LR origin),
    n_infinite (left out, as PSNR is infinite for one of the two); difference (mean), median, low and high
    (`interval`), p (`signed_rank`), sd_images (of the difference); n_seeds, sd_seeds (of the variant's mean),
    reference_seeds, reference_sd_seeds. Standard deviations of one value are NaN. Seeds that saw fewer images than
    others of their variant are left out. Raises ResultsError where a number is missing.
    """
    runs, images = over_seeds(frame)
    place = ["scale", "dataset"]
    values: dict[tuple[int, str, str, str], np.ndarray] = {}  # scale, set, metric, variant: of all images of the set
    for (scale, dataset), group in images.groupby(level=place, sort=False):
        for (metric, variant), column in group.droplevel(place).unstack().items():
            values[scale, dataset, metric, variant] = column.to_numpy(dtype=float)
    spread = runs.groupby([*place, "variant"], sort=False)[list(METRICS)].agg(["count", "std"]).stack(level=0)
    seeds = dict(zip(spread.index, spread.itertuples(index=False), strict=True))
    rows, paired = [], []
    for one in comparisons:
        keys = [(one.scale, one.dataset, one.metric, name) for name in (one.variant, one.reference)]
        if not all(key in values for key in keys):
            continue
        pairs = np.stack([values[key] for key in keys])
        seen = ~np.isnan(pairs)
        finite = pairs[:, np.isfinite(pairs).all(axis=0)]
        if not finite.size:
            continue
        paired.append(finite[0] - finite[1])
        (own, own_sd), (their, their_sd) = (
            seeds[one.scale, one.dataset, name, one.metric] for name in (one.variant, one.reference)
        )
        both = int(seen.all(axis=0).sum())
        rows.append(
            {
                **one._asdict(), "n_images": finite.shape[1], "n_infinite": both - finite.shape[1],
                "n_unpaired": int(seen.any(axis=0).sum()) - both,
                "n_seeds": int(own), "sd_seeds": own_sd, "reference_seeds": int(their), "reference_sd_seeds": their_sd,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=[*Comparison._fields, *_COUNTS])
    return table.assign(**_estimates(paired))


_COUNTS = ["n_images", "n_infinite", "n_unpaired", "n_seeds", "sd_seeds", "reference_seeds", "reference_sd_seeds"]
_ESTIMATES = ["difference", "median", "low", "high", "p", "sd_images"]


def against(experiment: Experiment, frame: pd.DataFrame, reference: str | None = None) -> pd.DataFrame:
    """Every measured variant, and the bicubic baseline, minus a reference variant: on each set, in each metric.

    The reference is that of the experiment unless one is named; at a scale where it was not measured it is the first
    variant that was. What was trained here is not compared with published weights. Columns: as `compare`, with
    p_holm (p corrected over all rows of the metric), label and reference_label. `frame` is of `results.load`.
    Raises ablations.AblationError for an unknown reference, ResultsError where a number is missing.
    """
    if reference is not None and reference not in experiment.variants:
        known = ablations.nearest(reference, experiment.variants)
        raise ablations.AblationError(f"unknown reference {reference!r}; {known}")
    sources = dict(zip(zip(frame.variant, frame.scale, strict=True), frame.source, strict=True))
    wanted = []
    for scale in experiment.scales:
        seen = [name for name in experiment.variants if (name, scale) in sources]
        chosen = reference or experiment.reference
        base = chosen if chosen in seen else next(iter(seen), None)
        if base is None:
            continue
        others = [name for name in [BASELINE, *seen] if name != base and (name, scale) in sources]
        others = [name for name in others if not mixed(sources[name, scale], sources[base, scale])]
        sets = dict.fromkeys([*experiment.datasets, *frame.dataset])
        wanted += [Comparison(scale, name, one, base, key) for name in sets for one in others for key in METRICS]
    table = compare(frame, wanted)
    labels = {BASELINE: "Bicubic"} | {name: variant.label for name, variant in experiment.variants.items()}
    table["p_holm"] = np.nan
    for _, family in table.groupby("metric"):
        table.loc[family.index, "p_holm"] = holm(family.p)
    return table.assign(label=table.variant.map(labels), reference_label=table.reference.map(labels))


def mixed(*sources: str) -> bool:
    """Whether networks that were trained here stand beside published weights; these are never compared."""
    return {"run", WEIGHTS} <= set(sources)


def compared(studies: Iterable[Study]) -> list[Compared]:
    """What the page says of each experiment of which two variants were measured."""
    found = []
    for study in studies:
        table = against(study.experiment, study.frame)
        if len(table):
            references, notes = list(table.reference_label.unique()), _notes(table)
            wanted = study.experiment.reference
            if (table.reference != wanted).any():
                label = study.experiment.variants[wanted].label
                notes.insert(
                    0, f"{label} was not measured at every scale; the first variant that was stands in for it."
                )
            told = {f"{column}_told": table[column].map(p_value) for column in ("p", "p_holm")}
            metrics = {field: [getattr(METRICS[key], field) for key in table.metric] for field in ("name", "fine")}
            table = table.assign(**told, **metrics)
            found.append(Compared(study.name, study.experiment.title, references, table, notes))
    return found


def p_value(p: float) -> str:
    """A p-value in words, three decimals at most; a dash where there is none."""
    return "–" if np.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _notes(table: pd.DataFrame) -> list[str]:
    notes = []
    untested = table[table.p.isna()]
    if len(untested):
        sets = ", ".join(
            f"{name} ({count} images)" for name, count in untested.groupby("dataset").n_images.max().items()
        )
        notes.append(
            f"No p-value on {sets}: it takes {FEWEST} images with a difference for one below {LEVEL} to be possible. "
            "Bootstrap intervals over so few images are too narrow, too."
        )
    for column, told in (
        ("n_infinite", "left out, as PSNR is infinite for one of the two"),
        ("n_unpaired", "in no pair: of one of the two only, or of another LR origin"),
    ):
        for (label, name), count in table.groupby(["label", "dataset"], sort=False)[column].max().items():
            if count:
                notes.append(f"{label} on {name}: {count} image{'s' * (count != 1)} {told}.")
    if (table[["n_seeds", "reference_seeds"]] == 1).all(axis=None):
        notes.append("One seed or checkpoint of each: nothing here says how much another training would change.")
    return notes


def _full_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Those of `tables.means` whose images are the fullest of their variant, scale and set."""
    keep = [
        index
        for _, seeds in runs.groupby(["variant", "scale", "dataset"], sort=False)
        for common in [fullest(seeds.pictures)]
        for index, seen in zip(seeds.index, seeds.pictures, strict=True)
        if seen == common
    ]
    return runs.loc[keep]


def _estimates(paired: Sequence[np.ndarray]) -> dict[str, Any]:
    """Columns about differences, rows of the same length at once."""
    found = {name: np.full(len(paired), np.nan) for name in _ESTIMATES}
    lengths = np.array([len(row) for row in paired], dtype=int)
    for length in np.unique(lengths):
        index = np.flatnonzero(lengths == length)
        rows = np.stack([row for row in paired if len(row) == length])
        found["difference"][index], found["median"][index] = rows.mean(axis=1), np.median(rows, axis=1)
        found["low"][index], found["high"][index] = _intervals(rows).T
        found["p"][index] = _signed_ranks(rows)
        if length > 1:
            found["sd_images"][index] = rows.std(axis=1, ddof=1)
    return found


def _intervals(rows: np.ndarray) -> np.ndarray:
    """`interval` of each row, (k, n) -> (k, 2)."""
    found = np.full((len(rows), 2), np.nan)
    n = rows.shape[1]
    if n < 2:
        return found
    equal = np.ptp(rows, axis=1) == 0
    found[equal] = rows[equal, :1]
    varied = rows[~equal]
    if not len(varied):
        return found

    def mean(index: np.ndarray, axis: int) -> np.ndarray:
        """Means of all rows over the same resampled images: how often each was drawn, times its differences."""
        drawn = (index[..., None] == np.arange(n)).sum(axis=axis - 1, dtype=float)
        # not a matrix product: its rounding depends on its shape, and equal means must stay equal
        return np.einsum("...n,kn->k...", drawn, varied) / index.shape[axis]

    result = stats.bootstrap(
        (np.arange(n),), mean, axis=-1, n_resamples=RESAMPLES, confidence_level=CONFIDENCE, method="BCa",
        rng=np.random.default_rng(0),
    )  # fmt: skip
    found[~equal] = np.column_stack(result.confidence_interval)
    return found


def _signed_ranks(rows: np.ndarray) -> np.ndarray:
    """`signed_rank` of each row, (k, n) -> (k,)."""
    found = np.full(len(rows), np.nan)
    sizes = np.sort(np.abs(rows), axis=1)
    testable = np.count_nonzero(rows, axis=1) >= FEWEST
    plain = (sizes[:, :1] != 0).all(axis=1) & (np.diff(sizes, axis=1) != 0).all(axis=1)
    if (together := testable & plain).any():
        found[together] = stats.wilcoxon(rows[together], axis=1).pvalue
    for index in np.flatnonzero(testable & ~plain):  # with zeros or ties, each has a null distribution of its own
        found[index] = stats.wilcoxon(rows[index]).pvalue
    return found
