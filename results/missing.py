"""Why a run has no complete result yet: it is running, pending or failed. Found from its files alone."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from results.activity import QUEUED, Activity, activity_file, read_activity, standing
from results.queue import Queued, queue
from results.run import STAGES, Run

FAILURE = "failure.txt"
_SAME_S = 5  # an answer of Slurm serves all runs of a report
_UNITS = {"train": "step", "evaluate": "image"}


class Missing(NamedTuple):
    """The state of a run without a complete result, and what is known of it."""

    state: Literal["running", "pending", "failed"]
    reason: str


def missing(run: Run) -> Missing | None:
    """What a run still lacks, or None where nothing is missing that a table of quality shows.

    Costs, which are measured when all trainings are done, are missed only where measuring them failed.
    `run.yaml` and `provenance.json` must be readable, or not there yet.
    """
    description, recorded = run.description() or {}, run.provenance()
    stages = description.get("stages", {})
    lacking = {stage for stage in stages if stage not in recorded}
    measured = recorded.get("evaluate", {}).get("sets")
    sets = stages.get("evaluate", {}).get("sets", {})
    left = [name for name in sets if measured is not None and name not in measured]
    trained_only = "train" in stages and "evaluate" not in stages  # `spinbench train`
    failed = _failed(run)
    if description and not (lacking - {"cost"} or left or trained_only or (lacking and failed)):
        return None
    activity = read_activity(activity_file(run))
    if activity is not None and (activity := standing(run, _queue(int(time.time() / _SAME_S))).activity):
        if activity.stage == QUEUED:
            return Missing("pending", f"in the queue of Slurm as job {activity.job}")
        return Missing("running", _at_work(activity))
    if failed:
        return Missing("failed", failed)
    if "train" in lacking or not description:
        now = standing(run)
        return Missing(
            "pending", "nothing yet" if now.step is None else f"stopped after step {now.step} of {now.steps}"
        )
    if left:
        return Missing("pending", f"measured on {len(sets) - len(left)} of {len(sets)} sets")
    return Missing("pending", "trained, not evaluated yet" if "train" in stages else "not evaluated yet")


@lru_cache(maxsize=1)
def _queue(_moment: int) -> dict[str, Queued] | None:
    return queue()


def _at_work(activity: Activity) -> str:
    """A page is read later than it is written: the last sign of life is told by its time."""
    heard = datetime.fromtimestamp(activity.told, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    unit = _UNITS.get(activity.stage)
    done = f"{unit} {activity.done} of {activity.total} " if unit and activity.total else ""
    return f"{done}on {activity.host}, last sign of life {heard}"


def _failed(run: Run) -> str | None:
    """The last line of the last attempt's traceback; None where the run went on since."""
    path = run.path(FAILURE)
    with suppress(OSError):
        told = path.stat().st_mtime_ns
        since = [run.path(file) for file in ("checkpoint.pt", *STAGES.values())]
        if any(file.stat().st_mtime_ns > told for file in since if file.is_file()):
            return None
        lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "its failure.txt is empty")
    return None
