"""How long trainings will take, from the steps of stored ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from statistics import median
from typing import Any

from benchmarks.runs.plan import Job
from results import ResultsError, Run, digest
from results.activity import last_row
from results.run import read_description, runs_folder
from results.state import state


def training_seconds(jobs: Sequence[Job], rerun: bool = False) -> dict[Run, float | None]:
    """Seconds that the training of each job still takes; 0 where none is pending, None where nothing is known.

    With `rerun` a training that would be refused starts from the beginning.

    A step takes time in proportion to the pixels of its batch. The time for a pixel is the median over all stored
    trainings of the same network, under whichever protocol and on whichever machine they ran.
    """
    known: dict[str, float | None] = {}
    found: dict[Run, float | None] = {}
    for job in jobs:
        todo = state(job.run, {"train": job.stages["train"]}) if "train" in job.stages else None
        again = bool(rerun and todo and todo.refused)
        if todo is None or not ("train" in todo.pending or again):
            found[job.run] = 0.0
            continue
        key = f"{job.run.variant}-x{job.run.scale}-{_network(job.stages['train'])}"
        if key not in known:
            times = list(_seconds_per_pixel(job))
            known[key] = median(times) if times else None
        each, training = known[key], job.stages["train"]["training"]
        row = None if again else last_row(job.run.path("training.csv"))
        steps = training["iterations"] - (row["iteration"] if row else 0)
        found[job.run] = None if each is None else each * steps * _pixels(training)
    return found


def _seconds_per_pixel(job: Job) -> Iterator[float]:
    wanted = _network(job.stages["train"])
    for folder in runs_folder(job.run.root).glob(f"*/{job.run.variant}-x{job.run.scale}-s*/"):
        row = last_row(folder / "training.csv")
        if not row or not row["seconds"]:
            continue
        with suppress(OSError, ValueError, KeyError, TypeError, ResultsError):  # damaged ones are reported elsewhere
            stage = (read_description(folder / "run.yaml") or {})["stages"]["train"]
            if _network(stage) == wanted:
                yield row["seconds"] / row["iteration"] / _pixels(stage["training"])


def _network(stage: Mapping[str, Any]) -> str:
    return digest({key: stage[key] for key in ("model", "config", "scale")})


def _pixels(training: Mapping[str, Any]) -> int:
    """LR pixels of a batch."""
    return int(training["batch_size"] * training["lr_patch"] ** 2)
