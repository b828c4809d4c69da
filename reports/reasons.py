"""Why a value is missing, and why a measured value differs from the published one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from ablations import Experiment, Protocol
from foundation.image_sets import image_set
from reports.incomplete import states
from reports.tables import CONVENTION, means
from results import BASELINE, LeftOut, Run

Key = tuple[str, int, str]  # variant, scale, set
TOLERANCE = 0.01  # dB; a published value is rounded to this
UNKNOWN = "unknown"
# What a convention says of a published number that it explains.
_CONVENTION_TEXTS = {
    "y8": "Y rounded to 8 bits",
    "float": "SR not rounded to 8 bits",
    "rgb": "measured on RGB",
    "full-range": "measured on full-range Y",
    "no-border": "no border cropped",
}


def missing(
    experiment: Experiment,
    plan: Protocol,
    runs: Sequence[Run],
    frame: pd.DataFrame,
    others: Collection[Run] = (),
    left_out: Sequence[LeftOut] = (),
    unavailable: Mapping[tuple[str, int], str] | None = None,
) -> dict[Key, str]:
    """Why variants have no measured value on a set that the protocol evaluates, as far as it is known.

    `runs` and `frame` are of `results.runs` and `results.load`, `others` the runs of trained variants under other
    protocols. Where runs of the variant are left out without a result, their state is the reason; `unavailable` says
    why a set, by name and scale, could not be had. A variant that the protocol trains and that was never asked for
    needs none.
    """
    missed, begun = states(left_out), states(out for out in left_out if not out.excluded)
    first = {(run.variant, run.scale): run for run in reversed(runs)}
    seen = set(zip(frame.variant, frame.scale, frame.dataset, strict=True))
    evaluated = set(zip(frame.variant, frame.scale, strict=True))
    found: dict[Key, str] = {}
    for scale in experiment.scales:
        for variant in [BASELINE, *experiment.variants]:
            if (variant, scale) in evaluated:
                reason = begun.get((variant, scale), "excluded or unavailable")
            elif (variant, scale) in missed:
                reason = missed[variant, scale]
            elif variant == BASELINE:
                continue
            else:
                reason = _not_evaluated(experiment, plan, variant, scale, first.get((variant, scale)), others)
            if reason:
                for text in plan.evaluation.datasets:
                    names = image_set(text).names
                    if not any((variant, scale, name) in seen for name in names):
                        of_set = (unavailable or {}).get((text, scale)) if (variant, scale) in evaluated else None
                        found[variant, scale, names[0]] = of_set or reason
    return found


def _not_evaluated(
    experiment: Experiment, plan: Protocol, variant: str, scale: int, run: Run | None, others: Collection[Run]
) -> str:
    definition = experiment.variants[variant]
    recorded = ((run.description() or {}).get("status") if run else None) or definition.status
    if recorded:
        return str(recorded)
    if not definition.trained:
        return "not evaluated yet"
    if plan.training is not None:
        return ""
    if any((other.variant, other.scale) == (variant, scale) for other in others):
        return "no weights are published; runs of this suite are listed below with their protocols"
    return "not trained yet under any protocol"


def explanations(table: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """The explanation of every PSNR in a table of `tables.side_by_side` that is not within TOLERANCE of the paper's.

    The convention under which the same images (in `frame`) come within TOLERANCE of the published value; else that
    the network was trained here, under the protocol of its row; else UNKNOWN. All other rows, and those of SSIM, get
    an empty text.
    """
    judged = means(frame[frame.convention != CONVENTION])
    judged = judged.groupby(["variant", "scale", "dataset", "convention", "n_images"], sort=False).psnr.mean()
    by_convention: dict[tuple[str, int, str, float], dict[str, float]] = {}
    for (variant, scale, dataset, convention, images), psnr in judged.items():
        by_convention.setdefault((variant, scale, dataset, images), {})[convention] = psnr
    found = []
    for row in table.itertuples():
        if row.metric != "psnr" or not exceeds(row.difference):
            found.append("")
            continue
        others = by_convention.get((row.variant, row.scale, row.dataset, row.n_images), {})
        trained = f"another training (protocol {row.protocol})" if row.source == "run" else ""
        found.append(_convention(others, row.published) or trained or UNKNOWN)
    return found


def exceeds(difference: float) -> bool:
    """Whether a difference in PSNR (dB) is larger than TOLERANCE; NaN, no difference, is not."""
    return abs(difference) > TOLERANCE + 1e-9  # the sum of a mean may be off in its last bits


def _convention(values: Mapping[str, float], published: float) -> str:
    """The convention that comes closest to a published value, if close enough."""
    distances = {name: abs(value - published) for name, value in values.items() if np.isfinite(value)}
    name = min(distances, key=lambda one: distances[one], default="")
    if not name or exceeds(distances[name]):
        return ""
    return _CONVENTION_TEXTS.get(name, f"convention {name}")
