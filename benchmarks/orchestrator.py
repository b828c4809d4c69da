"""All runs of an experiment, one after the other: what is finished is kept, a failing run does not stop the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from ablations import AblationError, Protocol
from benchmarks.data import datasets
from benchmarks.data.images import DataError
from benchmarks.executors import execute
from benchmarks.plan import Job
from benchmarks.progress import RunProgress
from foundation import nearest


@dataclass(frozen=True)
class Outcome:
    """How a run went; `error` is None unless it failed."""

    job: Job
    word: str  # done, already finished, failed
    error: str | None = None


def narrowed(protocol: Protocol, sets: Sequence[str]) -> Protocol:
    """The protocol with only these of its test sets. Raises AblationError for one that it does not have."""
    for name in sets:
        if name not in protocol.evaluation.datasets:
            raise AblationError(f"the protocol has no test set {name!r}; {nearest(name, protocol.evaluation.datasets)}")
    evaluation = protocol.evaluation.model_copy(update={"datasets": list(sets)})
    return protocol.model_copy(update={"evaluation": evaluation})


def prepare(protocol: Protocol, scales: Sequence[int], console: Console) -> dict[int, tuple[str, ...]]:
    """Fetch the data that a protocol needs, before hours are spent, and return the test sets at hand by scale.

    A test set of which nothing can be had is named and left out. Raises DataError if training or validation data
    cannot be had, or no test set at all.
    """
    training = protocol.training
    if training and training.warm_start:
        scales = [*scales, training.warm_start]
    needed = [training.data] if training else []
    if training and training.validation:
        needed.append(training.validation.data)
    for name in needed:
        for scale in scales:
            datasets.get(name).fetch_all(scale)
    found = {scale: at_hand(protocol.evaluation.datasets, scale) for scale in scales}
    for scale, names in found.items():
        for name in protocol.evaluation.datasets:
            if name not in names:
                console.print(f"{name} x{scale} is left out: none of its images can be had", highlight=False)
        for name in names:
            if not datasets.get(name).missing(scale):
                datasets.get(name).fetch_all(scale)
    if not any(found.values()):
        raise DataError(f"none of the test sets {', '.join(protocol.evaluation.datasets)} can be had")
    return found


def at_hand(names: Sequence[str], scale: int) -> tuple[str, ...]:
    """The sets of which some image is on this machine or can be downloaded."""
    found = []
    for name in names:
        try:
            dataset = datasets.get(name)
        except DataError:  # a set that the user has to provide
            if name not in datasets.SETS:
                raise
            continue
        if len(dataset.missing(scale)) < len(dataset.hr_names()):
            found.append(name)
    return tuple(found)


def carry_out(jobs: Sequence[Job], console: Console) -> list[Outcome]:
    """Finish every job that can be finished, with progress on the console. KeyboardInterrupt passes through."""
    outcomes = []
    with RunProgress(len(jobs), console) as progress:
        for job in jobs:
            name = job.run.name
            try:
                worked = execute(job, progress.stage, progress.line)
            except Exception as error:  # one failing run must not take the others with it
                message = " ".join(f"{type(error).__name__}: {error}".split())
                outcomes.append(Outcome(job, "failed", message))
                progress.done(f"{name} failed: {message}")
                continue
            outcomes.append(Outcome(job, "done" if worked else "already finished"))
            progress.done(f"{name} {outcomes[-1].word}")
    return outcomes
