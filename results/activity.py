"""What is going on with a run: whether a process executes it now, how far it is, and what it takes on disk.

A process that executes a run keeps a file beside the run's folder, `.<run>.now`, and removes it in the end. It can be
read from anywhere, and nothing of it belongs to the run's outcome. A killed process leaves it; it then tells nothing.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from pydantic import TypeAdapter, ValidationError

from foundation import write
from results.queue import Queued, this_job
from results.run import ResultsError, Run

QUEUED = "queued"  # the stage of a run that was given to Slurm and that no process executes yet
_SILENT_S = 1800.0  # a process on another machine that was not heard of for as long has ended


@dataclass(frozen=True)
class Activity:
    """What a process does with a run: `done` of `total` steps or images of a stage, a note, and the seconds left."""

    host: str
    pid: int
    born: float  # when the process began, since numbers of processes return
    stage: str = ""
    done: int = 0
    total: int = 0
    note: str = ""
    left_s: float | None = None
    told: float = 0.0  # when this was written, in seconds since 1970
    job: str | None = None  # in Slurm

    @classmethod
    def of_this_process(cls, stage: str = "") -> Activity:
        return cls(platform.node(), os.getpid(), psutil.Process().create_time(), stage, job=this_job())

    @classmethod
    def of_queued(cls, job: str) -> Activity:
        return cls("", 0, 0.0, QUEUED, job=job)

    @property
    def age_s(self) -> float:
        """Seconds since its process was last heard of."""
        return max(0.0, time.time() - self.told)

    def alive(self, queue: Mapping[str, Queued] | None = None) -> bool:
        """Whether its process still runs, or will. Of a job, the `queue` of Slurm knows; without it and of a process on
        another machine it is assumed for half an hour."""
        if self.job and queue is not None:
            if self.job not in queue:
                return False
            if self.host != platform.node() or queue[self.job].state != "RUNNING":
                return True
        elif self.host != platform.node():
            return self.age_s < _SILENT_S
        try:
            return abs(psutil.Process(self.pid).create_time() - self.born) < 2
        except psutil.Error:
            return False


@dataclass(frozen=True)
class Standing:
    """How far a run is: `activity` of the process that executes it, or None; iterations and loss of its training."""

    activity: Activity | None
    step: int | None
    steps: int | None
    loss: float | None
    bytes: int


def activity_file(run: Run) -> Path:
    return run.folder.parent / f".{run.name}.now"


def tell(run: Run, activity: Activity) -> None:
    """Write what this process does with the run. It is only told, so that a full disk stops nothing."""
    with contextlib.suppress(OSError):
        write(activity_file(run), json.dumps(asdict(replace(activity, told=time.time()))))


def tell_end(run: Run) -> None:
    with contextlib.suppress(OSError):
        activity_file(run).unlink(missing_ok=True)


def read_activity(file: Path) -> Activity | None:
    """What such a file says; None for one that is missing or unreadable."""
    try:
        return TypeAdapter(Activity).validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None


def standing(run: Run, queue: Mapping[str, Queued] | None = None) -> Standing:
    """How far a run is, from its files, and from the `queue` of Slurm if it was given. Damaged files tell nothing."""
    activity = read_activity(activity_file(run))
    activity = activity if activity and activity.alive(queue) else None
    if activity and activity.job and queue is not None and queue[activity.job].state == "PENDING":
        activity = replace(activity, stage=QUEUED, left_s=None)  # also one that was requeued
    row = last_row(run.path("training.csv"))
    step, loss = (int(row["iteration"]), float(row["loss"])) if row else (None, None)
    if activity and activity.stage == "train":
        step = activity.done
        with contextlib.suppress(ValueError):
            loss = float(activity.note.removeprefix("loss "))
    steps = None
    with contextlib.suppress(ResultsError, KeyError, TypeError):
        steps = int(((run.description() or {})["stages"])["train"]["training"]["iterations"])
    return Standing(activity, step, steps, loss, size(run.folder))


def size(path: Path) -> int:
    """The bytes of a file or of all files of a folder; 0 if there is none. Links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size if path.exists() or path.is_symlink() else 0
    total = 0
    for folder, _, files in os.walk(path):
        for file in files:
            with contextlib.suppress(OSError):  # a file may go while it is counted
                total += (Path(folder) / file).lstat().st_size
    return total


def shown_size(count: int) -> str:
    """A number of bytes for people: 12 KB, 3.4 MB."""
    for unit, factor in {"GB": 1e9, "MB": 1e6, "KB": 1e3}.items():
        if count >= factor:
            value = count / factor
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{count} B"


def last_row(file: Path) -> dict[str, float] | None:
    """The numbers in the last row of a training.csv, by column; None where there is none or it is damaged."""
    try:
        *_, row = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
        found = {name: float(text) for name, text in row.items() if text}
    except (OSError, ValueError, TypeError):
        return None
    return found if {"iteration", "loss", "seconds"} <= found.keys() else None
