"""Contrasts: variants against a reference, image by image, with intervals and tests.

Both variants are averaged over their seeds first; then their difference is taken image by image. Interval and test
(`reports.statistics`) generalise to other images; how much another training would change is the standard deviation
over seeds, in columns of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from ablations import Experiment
from reports import statistics
from reports.tables import CONVENTION, METRICS, PUBLISHED_WEIGHTS, RUN, fullest, means
from results import BASELINE


class Contrast(NamedTuple):
    """`variant` minus `reference`: their difference in a metric on a set."""

    scale: int
    dataset: str
    variant: str
    reference: str
    metric: str


def image_means(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs that count (of `tables.means`), and every image's mean over their seeds, from one of `results.load`.

    Seeds that saw fewer images than others of their variant do not count. The second is indexed by scale, dataset,
    image, lr_origin and variant. Raises ResultsError where a number is missing.
    """
    frame = frame[frame.convention == CONVENTION]
    runs = _full_runs(means(frame))
    frame = frame.merge(runs[[*RUN, "dataset"]], on=[*RUN, "dataset"])
    images = frame.groupby(["scale", "dataset", "image", "lr_origin", "variant"], sort=False)[list(METRICS)].mean()
    return runs, images


def compute_contrasts(frame: pd.DataFrame, contrasts: Iterable[Contrast]) -> pd.DataFrame:
    """A row for each contrast with at least one image in common, from a frame of `results.load`.

    Columns: those of Contrast; n_images (in pairs), n_unpaired (of one variant only, or of another LR origin),
    n_infinite (left out, as PSNR is infinite for one of the two); difference (mean), median, low and high (of its
    interval), p (of the signed-rank test), sd_images (of the difference); n_seeds, sd_seeds (of the variant's mean),
    reference_seeds, reference_sd_seeds. Standard deviations of one value are NaN. Seeds that saw fewer images than
    others of their variant are left out. Raises ResultsError where a number is missing.
    """
    runs, images = image_means(frame)
    place = ["scale", "dataset"]
    values: dict[tuple[int, str, str, str], np.ndarray] = {}  # scale, set, metric, variant: of all images of the set
    for (scale, dataset), group in images.groupby(level=place, sort=False):
        for (metric, variant), column in group.droplevel(place).unstack().items():
            values[scale, dataset, metric, variant] = column.to_numpy(dtype=float)
    spread = runs.groupby([*place, "variant"], sort=False)[list(METRICS)].agg(["count", "std"]).stack(level=0)
    seeds = dict(zip(spread.index, spread.itertuples(index=False), strict=True))
    rows, paired = [], []
    for one in contrasts:
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
    table = pd.DataFrame(rows, columns=[*Contrast._fields, *_COUNTS])
    return table.assign(**statistics.estimates(paired))


_COUNTS = ["n_images", "n_infinite", "n_unpaired", "n_seeds", "sd_seeds", "reference_seeds", "reference_sd_seeds"]


def against_reference(experiment: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """Every measured variant, and the bicubic baseline, against the experiment's reference on each set in each metric.

    At a scale where the reference was not measured, the first variant that was takes its place. What was trained here
    is not compared with published weights. Columns: those of `compute_contrasts`, p_holm (p corrected over all rows of
    the metric), label and reference_label. `frame` is of `results.load`. Raises ResultsError where a number is missing.
    """
    sources = dict(zip(zip(frame.variant, frame.scale, strict=True), frame.source, strict=True))
    wanted = []
    for scale in experiment.scales:
        seen = [name for name in experiment.variants if (name, scale) in sources]
        base = experiment.reference if experiment.reference in seen else next(iter(seen), None)
        if base is None:
            continue
        others = [name for name in [BASELINE, *seen] if name != base and (name, scale) in sources]
        others = [name for name in others if not mixes_sources(sources[name, scale], sources[base, scale])]
        sets = dict.fromkeys([*experiment.datasets, *frame.dataset])
        wanted += [Contrast(scale, name, one, base, key) for name in sets for one in others for key in METRICS]
    table = compute_contrasts(frame, wanted)
    labels = {BASELINE: "Bicubic"} | {name: variant.label for name, variant in experiment.variants.items()}
    table["p_holm"] = np.nan
    for _, family in table.groupby("metric"):
        table.loc[family.index, "p_holm"] = statistics.holm(family.p)
    return table.assign(label=table.variant.map(labels), reference_label=table.reference.map(labels))


def mixes_sources(*sources: str) -> bool:
    """Whether some networks were trained here and others have published weights; these are never compared."""
    return {"run", PUBLISHED_WEIGHTS} <= set(sources)


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
