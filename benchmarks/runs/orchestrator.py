"""Execution of all runs of an experiment, and then of their costs.

Finished work is kept, and a failed run does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import models
from ablations import AblationError, Experiment, Protocol
from benchmarks.data import datasets
from benchmarks.data.fetch import Unavailable
from benchmarks.data.images import DataError
from benchmarks.data.inspection import inspect
from benchmarks.data.own import OwnDataset
from benchmarks.measure.quality import smallest_lr
from benchmarks.runs.apart import call_apart
from benchmarks.runs.costing import measure_costs
from benchmarks.runs.places import Place
from benchmarks.runs.plan import Job, without_stages
from benchmarks.runs.pool import Outcome, execute_all, failure
from benchmarks.runs.progress import Progress
from foundation import meant, nearest, one_line
from foundation.image_sets import ImageSet, image_set
from results import Run


def narrowed(protocol: Protocol, sets: Sequence[str]) -> Protocol:
    """The protocol restricted to these test sets, each as in the protocol, by its name in results, or by its folder.

    Raises AblationError for a set that it does not have, or several.
    """
    chosen = []
    for name in sets:
        found = [text for text in protocol.evaluation.datasets if name == text or name in _called(image_set(text))]
        known = {image_set(text).names[0]: text for text in protocol.evaluation.datasets}
        if not found and (one := meant(name, known)):
            found = [known[one]]
        if len(found) != 1:
            raise AblationError(
                f"the protocol has {'several test sets' if found else 'no test set'} {name!r}; {nearest(name, known)}"
            )
        chosen += found
    evaluation = protocol.evaluation.model_copy(update={"datasets": list(dict.fromkeys(chosen))})
    return protocol.model_copy(update={"evaluation": evaluation})


def _called(given: ImageSet) -> set[str]:
    return {*given.names, given.hr, given.hr.rstrip("/"), str(given.path)}


def smallest_input(experiment: Experiment, only: Sequence[str] = ()) -> int:
    """The least edge of an image that the networks of these variants take, or of all; of those of the suite."""
    named = {experiment.variant_named(name) for name in only}
    found = [str(each.model) for name, each in experiment.variants.items() if not only or name in named]
    return max((models.describe(name).smallest_input for name in found if name in models.names()), default=1)


class Prepared(NamedTuple):
    """Why a test set, by name and scale, cannot be had; None for those that can."""

    reasons: dict[tuple[str, int], str | None]

    @property
    def sets(self) -> dict[int, tuple[str, ...]]:
        """The test sets that can be had, by scale."""
        scales = dict.fromkeys(scale for _, scale in self.reasons)
        return {
            one: tuple(name for (name, scale), reason in self.reasons.items() if scale == one and reason is None)
            for one in scales
        }


def prepare(protocol: Protocol, scales: Sequence[int], say: Callable[[str], None], smallest: int = 1) -> Prepared:
    """Fetch the data that a protocol needs, before any training.

    A test set that cannot be had is reported and left out, and so is what else lies in folders of the user's.
    Raises DataError if training or validation data is unavailable, or all test sets are, and for images of the user's
    that cannot be read or are too small; `smallest` is the least edge of an LR image that all networks take.
    """
    training, tests = protocol.training, protocol.evaluation.datasets
    if training and training.start_scale:
        scales = [*scales, training.start_scale]
    needed = [training.data] if training else []
    if training and training.validation:
        needed.append(training.validation.data)
    for name in needed:
        for scale in scales:
            datasets.get(name).fetch_all(scale)
    prepared = Prepared({(name, scale): _fetched(name, scale) for scale in scales for name in tests})
    for (name, scale), reason in prepared.reasons.items():
        if reason:
            say(f"{name} x{scale} is left out: {reason}")
    if not any(prepared.sets.values()):
        why = "; ".join(dict.fromkeys(filter(None, prepared.reasons.values())))
        raise DataError(f"none of the test sets {', '.join(tests)} is available: {why}")
    for line in dict.fromkeys(_inspected(protocol, scales, prepared.sets, smallest)):
        say(line)
    return prepared


def _fetched(name: str, scale: int) -> str | None:
    """Fetch what there is of a test set; why it cannot be had, or None. DataError for a damaged file."""
    if reason := _unavailable(name, scale):
        return reason
    dataset = datasets.get(name)
    try:
        if not dataset.missing(scale):
            dataset.fetch_all(scale)
    except Unavailable as error:
        return one_line(error)
    return None


def _inspected(
    protocol: Protocol, scales: Sequence[int], tests: Mapping[int, Sequence[str]], smallest: int
) -> Iterator[str]:
    """Look at all images of the user's; yields what is left out of their folders."""
    training = protocol.training
    for scale in dict.fromkeys(scales):
        measured = max(smallest, smallest_lr(scale, protocol.evaluation.conventions))
        why = "for the networks and for SSIM"
        wanted: list[tuple[str, int, str, dict[str, Any]]] = [(name, measured, why, {}) for name in tests[scale]]
        if training:
            wanted.insert(0, (training.data, training.lr_patch, "the patch", {"headers": True}))
        if training and training.validation:
            held_out = training.validation
            wanted.insert(
                1, (held_out.data, max(smallest, smallest_lr(scale, ["rcan"])), why, {"limit": held_out.images})
            )
        for name, least, reason, how in wanted:
            dataset = datasets.get(name)
            if isinstance(dataset, OwnDataset):
                inspect(dataset, scale, least, reason, **how)
                if dataset.left_out:
                    yield dataset.left_out


def available_sets(names: Sequence[str], scale: int) -> tuple[str, ...]:
    """The sets with at least one image that is stored or can be downloaded."""
    return tuple(name for name in names if _unavailable(name, scale) is None)


def _unavailable(name: str, scale: int) -> str | None:
    """Why no image of a test set is stored or can be downloaded; None if there are some."""
    try:
        dataset = datasets.get(name)
    except DataError as error:
        if name not in datasets.SETS:
            raise
        return one_line(error)  # a set that the user has to provide
    some = len(dataset.missing(scale)) < len(dataset.hr_names())
    return None if some else "none of its images is available"


def carry_out(
    jobs: Sequence[Job], progress: Progress, rerun: bool = False, places: Sequence[Place] = (Place(),)
) -> list[Outcome]:
    """Finish every job that can be finished, and report the progress. KeyboardInterrupt is not caught.

    Runs are executed at all places at the same time (see `pool.execute_all`). Costs are measured last, at the first
    place alone, with all networks of a scale in turn. The traceback of a failed run is stored in its folder.
    """
    outcomes = execute_all([without_stages(job, ("train", "evaluate")) for job in jobs], places, progress, rerun)
    ready = [job for job in jobs if outcomes[job.run].word in ("done", "already finished")]
    outcomes |= measure(ready, progress, places[0])
    return [outcomes[job.run] for job in jobs]


def measure(jobs: Sequence[Job], progress: Progress, place: Place) -> dict[Run, Outcome]:
    """Measure the pending costs of these jobs, all networks of a scale in turn; the outcomes of those that had any."""
    outcomes: dict[Run, Outcome] = {}
    ready = [without_stages(job, ("cost",)) for job in jobs if "cost" in job.stages]
    for scale in dict.fromkeys(job.run.scale for job in ready):
        outcomes |= _together([job for job in ready if job.run.scale == scale], progress, place)
    return outcomes


def _together(jobs: Sequence[Job], progress: Progress, place: Place) -> dict[Run, Outcome]:
    """Measure the costs of these jobs; returns the outcomes of those that had pending ones."""
    try:
        if place.device == "cpu":
            measured = measure_costs(jobs, progress.stage, progress.line)
        else:
            measured = call_apart(measure_costs, jobs, place, progress.stage, progress.line)
        return {job.run: Outcome(job, "done") for job in jobs if job.run in measured}
    except Exception as error:  # one network must not take the costs of the others along
        if len(jobs) == 1:
            outcome = failure(jobs[0], error)
            progress.line(f"{jobs[0].run.name} {outcome.word}: {outcome.error}")
            return {jobs[0].run: outcome}
        found: dict[Run, Outcome] = {}
        for job in jobs:
            found |= _together([job], progress, place)
        return found
