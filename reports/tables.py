"""From single images to tables: means, differences to the paper, and who is best. Pure functions over data frames.

Means keep full precision and are rounded once, on display. Ranks are taken at the displayed precision, so values
that look equal share their mark. A place is how many are better: two best values leave no second one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ablations import Experiment
from reports.statistics import FEWEST
from results import BASELINE, ResultsError

CONVENTION = "rcan"  # the one that the tables show; the others are departures from it
PUBLISHED_WEIGHTS = "published weights"  # the source of what was not trained here


class Metric(NamedTuple):
    """A measure of quality, higher is better; `fine` are the decimals that tell whether a published value is met."""

    name: str
    unit: str
    decimals: int
    fine: int

    def with_decimals(self, decimals: int) -> Metric:
        return self._replace(decimals=decimals, fine=decimals + self.fine - self.decimals)


METRICS = {"psnr": Metric("PSNR", "dB", 2, 3), "ssim": Metric("SSIM", "", 4, 4)}
Pictures = frozenset[tuple[str, str]]  # image and LR origin
RUN = ["variant", "scale", "seed"]


def means(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean over the images of every run, set and convention of a frame of `results.load`.

    Columns: variant, scale, seed, dataset, convention, psnr, ssim, n_images, n_infinite, pictures (the images and
    their LR origins). An infinite PSNR (SR equal to HR) is left out of its mean and counted in n_infinite; a mean
    over nothing else is infinite. Raises ResultsError where a number is missing.
    """
    missing = frame[frame[["psnr", "ssim"]].isna().any(axis=1)]
    for row in missing.itertuples():
        run = f"{row.variant}-x{row.scale}-s{row.seed}"
        raise ResultsError(f"{run}/quality.csv: {row.dataset}, {row.image}: no number for PSNR or SSIM, expected both")
    rows = []
    for key, group in frame.groupby([*RUN, "dataset", "convention"], sort=False):
        finite = group.psnr[np.isfinite(group.psnr)]
        psnr = finite.mean() if len(finite) else math.inf
        pictures = frozenset(zip(group.image, group.lr_origin, strict=True))
        rows.append((*key, psnr, group.ssim.mean(), len(group), len(group) - len(finite), pictures))
    columns = ["dataset", "convention", "psnr", "ssim", "n_images", "n_infinite", "pictures"]
    return pd.DataFrame(rows, columns=[*RUN, *columns])


def seed_means(runs: pd.DataFrame, images: Mapping[str, int]) -> pd.DataFrame:
    """Mean and standard deviation over the seeds of a frame of `means` with one convention.

    `images` says how many images a full set has; without it, the most that any run measured. Seeds that saw fewer
    images than others of their variant are left out. Columns: variant, scale, dataset, psnr, psnr_sd, ssim,
    ssim_sd (NaN for one seed), n_images, of_images, n_seeds, n_infinite, lr_origin, and comparable: over the same
    images as the fullest entry of its set. Only comparable entries may be ranked.
    """
    rows = []
    for (scale, dataset), column in runs.groupby(["scale", "dataset"], sort=False):
        common = fullest(column.pictures)
        of_images = max(images.get(dataset, 0), column.n_images.max())
        for variant, seeds in column.groupby("variant", sort=False):
            pictures = fullest(seeds.pictures)
            alike = seeds[[seen == pictures for seen in seeds.pictures]]
            rows.append(
                {
                    "variant": variant, "scale": scale, "dataset": dataset,
                    "psnr": alike.psnr.mean(), "psnr_sd": alike.psnr.std(),
                    "ssim": alike.ssim.mean(), "ssim_sd": alike.ssim.std(),
                    "n_images": len(pictures), "of_images": of_images, "n_seeds": len(alike),
                    "n_infinite": alike.n_infinite.sum(),
                    "lr_origin": " + ".join(sorted({origin for _, origin in pictures})),
                    "comparable": pictures == common,
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def side_by_side(
    experiment: Experiment,
    frame: pd.DataFrame,
    published: pd.DataFrame | None = None,
    images: Mapping[str, int] | None = None,
    missing: Mapping[tuple[str, int, str], str] | None = None,
) -> pd.DataFrame:
    """Published and measured values of an experiment side by side, a row per scale, variant, set and metric.

    `frame` is of `results.load`, `published` of `results.published`, `images` as in `seed_means`; `missing` says why
    a variant has no value at a scale on a set. Columns: scale, variant, label, dataset, metric, published,
    published_mark, published_note (of a value that is unknown here, or from elsewhere), measured, sd (over seeds),
    measured_mark ("best", "second" or ""), difference (measured minus published; never for a part of a set), source
    (as in `results.load`), status (why nothing was measured), n_images, of_images, n_seeds, n_infinite, lr_origin,
    comparable. Missing numbers are NaN. The sets of the paper come first, in its order. A column with an unknown
    published value has no published ranks. Where networks were trained here, published weights are not ranked with
    them; and networks trained once, or measured on fewer than FEWEST images, are not ranked with each other.
    """
    missing = missing or {}
    measured = seed_means(means(frame[frame.convention == CONVENTION]), images or {})
    found = {(row.scale, row.variant, row.dataset): row for row in measured.itertuples()}
    sources = dict(zip(zip(frame.variant, frame.scale, strict=True), frame.source, strict=True))
    printed = {} if published is None else published.set_index(["scale", "method", "dataset"]).to_dict("index")
    labels = {BASELINE: "Bicubic"} | {name: variant.label for name, variant in experiment.variants.items()}
    methods = {name: variant.published for name, variant in experiment.variants.items()}
    datasets = dict.fromkeys([*experiment.datasets, *measured.get("dataset", ()), *(key[2] for key in missing)])
    rows = []
    for scale in experiment.scales:
        for dataset in datasets:
            for variant, label in labels.items():
                ours = found.get((scale, variant, dataset))
                theirs = printed.get((scale, methods.get(variant), dataset))
                reason = missing.get((variant, scale, dataset), "") if ours is None else ""
                if ours is None and theirs is None and not reason:
                    continue
                for metric in METRICS:
                    value = math.nan if theirs is None else theirs[metric]
                    row = {"scale": scale, "variant": variant, "label": label, "dataset": dataset}
                    row |= {"metric": metric, "published": value, "status": reason}
                    row |= {"published_note": "" if theirs is None else theirs.get("note", "")}
                    if ours is not None:
                        mean = getattr(ours, metric)
                        full = ours.n_images == ours.of_images
                        row |= {"measured": mean, "sd": getattr(ours, f"{metric}_sd")}
                        row |= {"difference": mean - value if full else math.nan}
                        row |= {"source": sources[variant, scale]}
                        row |= {name: getattr(ours, name) for name in _COUNTS}
                    rows.append(row)
    return with_marks(pd.DataFrame(rows, columns=_COMPARED))


_COUNTS = ["n_images", "of_images", "n_seeds", "n_infinite", "lr_origin", "comparable"]
_COMPARED = [
    "scale", "variant", "label", "dataset", "metric",
    "published", "published_mark", "published_note", "measured", "sd", "measured_mark", "difference",
    "source", "status", *_COUNTS,
]  # fmt: skip


def marks(values: Sequence[float], decimals: int) -> list[str]:
    """ "best", "second" or "" for each value, higher is better, at the precision with which they are displayed.

    Second is who has exactly one better. NaN is no value. Fewer than two values are no contest and bear no mark.
    """
    seen = [None if math.isnan(value) else float(f"{value:.{decimals}f}") for value in values]
    present = [value for value in seen if value is not None]
    if len(present) < 2:
        return [""] * len(seen)
    words = {0: "best", 1: "second"}
    return ["" if value is None else words.get(sum(other > value for other in present), "") for value in seen]


def unknown(table: pd.DataFrame) -> pd.Series:
    """Which rows of `side_by_side` have a published value that is not known here."""
    return table.published.isna() & table.published_note.ne("")


def departures(frame: pd.DataFrame) -> pd.DataFrame:
    """What the other conventions change in PSNR, over the same images of the same networks.

    Columns: scale, convention, dataset, mean, lowest, highest (dB against rcan, over runs; each is a mean over images),
    n_runs. Images that are infinite under either convention are left out, and so is the bicubic baseline, whose
    output is 8 bit from the start. Empty where only rcan was measured.
    """
    networks = frame[(frame.variant != BASELINE) & np.isfinite(frame.psnr.astype(float))]
    keys = [*RUN, "dataset", "image"]
    base = networks.loc[networks.convention == CONVENTION, [*keys, "psnr"]]
    others = networks.loc[networks.convention != CONVENTION, [*keys, "convention", "psnr"]]
    pairs = others.merge(base, on=keys, suffixes=("", "_base"))
    pairs["change"] = pairs.psnr - pairs.psnr_base
    per_run = pairs.groupby([*RUN, "convention", "dataset"], sort=False).change.mean().reset_index()
    grouped = per_run.groupby(["scale", "convention", "dataset"], sort=False).change
    return grouped.agg(mean="mean", lowest="min", highest="max", n_runs="size").reset_index()


def fullest(pictures: Iterable[Pictures]) -> Pictures:
    """The largest set of images; among equally large ones the most frequent."""
    counts = Counter(pictures)
    return max(counts, key=lambda seen: (len(seen), counts[seen]))


def with_marks(table: pd.DataFrame, metrics: Mapping[str, Metric] = METRICS) -> pd.DataFrame:
    """Rows of `side_by_side`, ranked anew among each other at the decimals of `metrics`."""
    table = table.astype({"published": float, "measured": float, "sd": float, "difference": float})
    table[["published_mark", "measured_mark"]] = ""
    for (_, _, metric), column in table.groupby(["scale", "dataset", "metric"]):
        decimals = metrics[metric].decimals
        if not unknown(column).any():
            table.loc[column.index, "published_mark"] = marks(list(column.published), decimals)
        contest = column.comparable.eq(True) & ~_decides_nothing(column)
        if column.source.eq("run").any():
            contest &= column.source != PUBLISHED_WEIGHTS
        if (contest & (column.source != "baseline")).sum() < 2:
            continue  # a single network would be ranked against bicubic
        ranked = column.measured.where(contest)
        table.loc[column.index, "measured_mark"] = marks(list(ranked), decimals)
    return table


def _decides_nothing(column: pd.DataFrame) -> pd.Series:
    """Networks trained here, and bicubic, if their order may be chance: one training only, or a handful of images."""
    own = column.source.isin(["run", "baseline"])
    if not column.source.eq("run").any():
        return own & False
    chance = column.source.eq("run") & ((column.n_seeds < 2) | (column.n_images < FEWEST))
    return own & bool(chance.any())
