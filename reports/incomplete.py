"""Runs without a complete result, in few words: by state, with equal reasons and neighbouring seeds told together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from ablations import Experiment
from results import BASELINE, STATES, LeftOut, State

_MOST = 6  # reasons of a state, since a list that is longer is not read
SIGN = "*"  # of a row that lacks some of its runs
SIGN_NOTE = f"{SIGN} Some runs of this row are missing."


def states(left_out: Iterable[LeftOut]) -> dict[tuple[str, int], State]:
    """The state of the runs of a variant at a scale that are left out; of several, the first of `results.STATES`."""
    found: dict[tuple[str, int], State] = {}
    for out in sorted(left_out, key=lambda out: STATES.index(out.state)):
        found.setdefault((out.run.variant, out.run.scale), out.state)
    return found


def sentences(left_out: Iterable[LeftOut], experiment: Experiment, scale: int | None = None) -> list[str]:
    """`lines` about the variants that the table of an experiment shows, at one scale or at all of them."""
    shown = experiment.table.variants
    found = [
        out
        for out in left_out
        if (shown is None or out.run.variant in shown) and (scale is None or out.run.scale == scale)
    ]
    labels = {name: variant.label for name, variant in experiment.variants.items()}
    return lines(found, {BASELINE: "Bicubic"} | labels)


def lines(left_out: Sequence[LeftOut], labels: Mapping[str, str]) -> list[str]:
    """A sentence per state, such as "Pending: Full seeds 1–4, Patch seed 0: nothing yet."; `labels` by variant.

    Scales are told where there are several. Of many different reasons only the first are told.
    """
    scales = len({out.run.scale for out in left_out}) > 1
    found = []
    for state in STATES:
        reasons: dict[str, list[LeftOut]] = {}
        for out in left_out:
            if out.state == state:
                reasons.setdefault(out.reason.rstrip("."), []).append(out)
        told = [f"{', '.join(_runs(group, labels, scales))}: {reason}" for reason, group in reasons.items()]
        if more := sum(len(group) for group in list(reasons.values())[_MOST:]):
            told = [*told[:_MOST], f"and {more} more run{'s' * (more > 1)}"]
        if told:
            found.append(f"{state.capitalize()}: {'; '.join(told)}.")
    return found


def _runs(left_out: Sequence[LeftOut], labels: Mapping[str, str], scales: bool) -> Iterator[str]:
    """Each variant with the seeds of its runs."""
    for (variant, scale), group in groupby(left_out, key=lambda out: (out.run.variant, out.run.scale)):
        seeds = sorted({out.run.seed for out in group})
        place = f" ×{scale}" if scales else ""
        yield f"{labels.get(variant, variant)}{place} seed{'s' * (len(seeds) > 1)} {_ranges(seeds)}"


def _ranges(numbers: Sequence[int]) -> str:
    """Ascending numbers: 0, 2–4."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]}–{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)
