"""Contrasts: variants against a reference, image by image and training by training, with intervals and tests.

The differences of two variants form a table of images and trainings. Interval and test (`reports.statistics`) say what
other images, and other trainings, would give. Where either variant was trained once, they say it of other images only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from ablations import Experiment
from reports import statistics
from reports.statistics import Trainings
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
    runs, frame = _counted(frame)
    images = frame.groupby(["scale", "dataset", "image", "lr_origin", "variant"], sort=False)[list(METRICS)].mean()
    return runs, images


def compute_contrasts(frame: pd.DataFrame, contrasts: Iterable[Contrast]) -> pd.DataFrame:
    """A row for each contrast with at least one image in common, from a frame of `results.load`.

    Columns: those of Contrast; n_images (in pairs), n_unpaired (of one variant only, or of another LR origin),
    n_infinite (left out, as PSNR is infinite for one of the two); difference (mean), median, low and high (of its
    interval), p, sd_images (of the difference); n_trainings (of each, as pairs; those of the other if one is bicubic
    interpolation, which is not trained), n_seeds, sd_seeds (of the variant's mean), reference_seeds,
    reference_sd_seeds. Standard deviations of one value are NaN. Seeds that saw fewer images than others of their
    variant are left out. Raises ResultsError where a number is missing.
    """
    runs, frame = _counted(frame)
    place = ["scale", "dataset"]
    values: dict[tuple[int, str, str, str], pd.DataFrame] = {}  # scale, set, metric, variant: image x seed
    for (scale, dataset), group in frame.groupby(place, sort=False):
        table = group.set_index(["image", "lr_origin", "variant", "seed"])[list(METRICS)].unstack(["variant", "seed"])
        for metric, variant in dict.fromkeys(column[:2] for column in table.columns):
            values[scale, dataset, metric, variant] = table[metric][variant]
    spread = runs.groupby([*place, "variant"], sort=False)[list(METRICS)].agg(["count", "std"]).stack(level=0)
    seeds = dict(zip(spread.index, spread.itertuples(index=False), strict=True))
    between = _between_trainings(runs)
    rows, paired, trainings = [], [], []
    for one in contrasts:
        keys = [(one.scale, one.dataset, one.metric, name) for name in (one.variant, one.reference)]
        if not all(key in values for key in keys):
            continue
        own_values, their_values = (values[key] for key in keys)
        seen = np.stack([table.notna().any(axis=1) for table in (own_values, their_values)])
        finite = np.isfinite(own_values).all(axis=1) & np.isfinite(their_values).all(axis=1)
        if not finite.any():
            continue
        paired.append(_differences(own_values[finite], their_values[finite], fixed=BASELINE in one[2:4]))
        known = between.get((one.scale, one.dataset, one.metric))
        networks = sum(name != BASELINE for name in (one.variant, one.reference))
        trainings.append(known and Trainings(networks * known.variance, known.freedom))
        (own, own_sd), (their, their_sd) = (
            seeds[one.scale, one.dataset, name, one.metric] for name in (one.variant, one.reference)
        )
        both = int(seen.all(axis=0).sum())
        rows.append(
            {
                **one._asdict(), "n_images": int(finite.sum()), "n_infinite": both - int(finite.sum()),
                "n_unpaired": int(seen.any(axis=0).sum()) - both, "n_trainings": paired[-1].shape[1],
                "n_seeds": int(own), "sd_seeds": own_sd, "reference_seeds": int(their), "reference_sd_seeds": their_sd,
            }
        )  # fmt: skip
    table = pd.DataFrame(rows, columns=[*Contrast._fields, *_COUNTS])
    return table.assign(**statistics.estimates(paired, trainings))


def _differences(one: pd.DataFrame, other: pd.DataFrame, fixed: bool) -> np.ndarray:
    """Differences of two tables of images and seeds, (images, trainings), whose mean is that of all seeds.

    `fixed`: one of them is not trained, and differs from every training of the other. Otherwise each training stands
    beside one of the other, those of a seed in common first; further trainings move the means of the images only.
    """
    whole = (one.mean(axis=1) - other.mean(axis=1)).to_numpy(float)
    if fixed:
        pairs = one.to_numpy(float) - other.to_numpy(float)  # one of them has a single column
    else:
        common = list(one.columns.intersection(other.columns))
        count = min(one.shape[1], other.shape[1])
        chosen = [[*common, *(seed for seed in table.columns if seed not in common)][:count] for table in (one, other)]
        pairs = one[chosen[0]].to_numpy(float) - other[chosen[1]].to_numpy(float)
    return pairs + (whole - pairs.mean(axis=1))[:, None]


def _between_trainings(runs: pd.DataFrame) -> dict[tuple[int, str, str], Trainings]:
    """The variance of a network's mean from training to training by scale, set and metric, of all variants together."""
    found = {}
    for (scale, dataset), group in runs.groupby(["scale", "dataset"], sort=False):
        for metric in METRICS:
            values = group.groupby("variant")[metric]
            freedom = (values.count() - 1).clip(lower=0)
            if freedom.sum():
                variance = float((values.var() * freedom).sum() / freedom.sum())
                found[scale, dataset, metric] = Trainings(variance, float(freedom.sum()))
    return found


_COUNTS = [
    "n_images",
    "n_infinite",
    "n_unpaired",
    "n_trainings",
    "n_seeds",
    "sd_seeds",
    "reference_seeds",
    "reference_sd_seeds",
]


def against_reference(experiment: Experiment, frame: pd.DataFrame) -> pd.DataFrame:
    """Every measured variant, and the bicubic baseline, against the experiment's reference on each set in each metric.

    At a scale where the reference was not measured, the first variant that was takes its place. What was trained here
    is not compared with published weights. Columns: those of `compute_contrasts`, p_holm (p corrected over all
    rows), label and reference_label. `frame` is of `results.load`. Raises ResultsError where a number is missing.
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
    table["p_holm"] = statistics.holm(table.p)
    return table.assign(label=table.variant.map(labels), reference_label=table.reference.map(labels))


def mixes_sources(*sources: str) -> bool:
    """Whether some networks were trained here and others have published weights; these are never compared."""
    return {"run", PUBLISHED_WEIGHTS} <= set(sources)


def _counted(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The runs that count (of `tables.means`), and the images that they measured."""
    frame = frame[frame.convention == CONVENTION]
    runs = _full_runs(means(frame))
    return runs, frame.merge(runs[[*RUN, "dataset"]], on=[*RUN, "dataset"])


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
