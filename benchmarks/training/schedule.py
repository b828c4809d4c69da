"""The learning rate as a function of the iteration alone."""

from __future__ import annotations

import math
from bisect import bisect_right

from ablations.schema import Training


def learning_rate(training: Training, iteration: int) -> float:
    """The learning rate of step `iteration`, counted from 1.

    The values are those of torch's MultiStepLR and OneCycleLR (cosine). Since the rate has no state, a resumption
    does not change it, and it does not lag if float16 skips a step.
    """
    schedule, peak, step = training.schedule, training.learning_rate, iteration - 1
    if schedule.kind == "milestones":
        return peak * schedule.factor ** bisect_right(schedule.milestones, step)
    if schedule.kind == "one-cycle":
        first, last = peak / 25, peak / 25e4
        top = schedule.warmup * training.iterations - 1
        if step < top:
            return _cosine(first, peak, step / top)
        return _cosine(peak, last, (step - top) / (training.iterations - 1 - top))
    return peak


def _cosine(first: float, last: float, share: float) -> float:
    return last + (first - last) / 2 * (1 + math.cos(math.pi * share))
