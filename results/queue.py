"""The user's jobs in the queue of Slurm, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass

SLURM = "slurm"  # the folder below the results with what jobs were given, and what they wrote
_TIMEOUT_S = 10


@dataclass(frozen=True)
class Queued:
    """A job that has not ended: its state in Slurm's words, and the reason if it waits."""

    state: str
    reason: str = ""


def this_job() -> str | None:
    """The id of the job in which this process runs, as squeue shows it; None outside of Slurm."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}" if array else os.environ.get("SLURM_JOB_ID")


def queue() -> dict[str, Queued] | None:
    """Jobs by their id, such as 12 or, in an array, 12_3; None where there is no Slurm, or it does not answer."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--me", "--noheader", "--array", "--format=%i|%T|%r"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_TIMEOUT_S).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    lines = (line.split("|", 2) for line in answer.splitlines() if line.count("|") >= 2)
    return {job.strip(): Queued(state, "" if reason == "None" else reason) for job, state, reason in lines}
