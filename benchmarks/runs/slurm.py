"""Work as jobs of Slurm: their submission through submitit, and what a job does when its time is over.

A job that is told to end (SIGUSR1, SIGUSR2 or SIGTERM) finishes the step of its training, saves, and goes back into the
queue. What was cancelled stays cancelled, and what Slurm has put back itself is not put back twice.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from ablations import Cluster
from foundation import SpinbenchError, one_line
from foundation.signals import STOP
from results.queue import queue, this_job

_MOST_RESTARTS = 1000  # of a job that never comes to its end
_TRIES, _PAUSE_S = 6, 10.0  # of a controller that does not answer
_MOST_OF_ARRAY = 1000  # the largest index that Slurm allows, unless a site has set another


class SlurmError(SpinbenchError):
    """Slurm cannot be used, or refused a job; one line with its words."""


def submit(
    works: Sequence[Callable[[], None]],
    cluster: Cluster,
    folder: Path,
    name: str,
    *,
    after: Sequence[str] = (),
    alone: bool = False,
    gres: bool = True,
    accepted: Callable[[int, str], None] = lambda place, job: None,
) -> list[str]:
    """Submit calls, which pickle, as the tasks of job arrays; returns the ids of their jobs, such as 12_0.

    `accepted` is called with the place of each work and its job as soon as Slurm has taken it.

    `folder` is for the files of the jobs, and has to be shared by all nodes. The jobs begin when all jobs `after` which
    they come have ended, however they ended. `alone`: on nodes without other jobs; `gres`: with the cluster's generic
    resources. Raises SlurmError.
    """
    try:
        import submitit
    except ImportError:
        raise SlurmError("--executor slurm needs submitit: pip install 'spin-bench[slurm]'") from None
    if "%" in os.fspath(folder.absolute()):
        raise SlurmError(f"{folder}: Slurm replaces % in the paths of its files; choose results in another folder")
    most = most_of_array()
    try:
        executor = submitit.SlurmExecutor(folder)
        executor.update_parameters(**_parameters(cluster, name, after, alone, gres, most))
        ids: list[str] = []
        for first in range(0, len(works), most):
            tasks = [_Task(work) for work in works[first : first + most]]
            with executor.batch():
                jobs = [executor.submit(task) for task in tasks]
            for place, job in enumerate(jobs, first):
                ids.append(job.job_id)
                accepted(place, job.job_id)
        return ids
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        raise SlurmError(f"Slurm: {one_line(error)}") from error


def most_of_array() -> int:
    """How many tasks an array of this site's Slurm may have (MaxArraySize is the first index that is too large)."""
    command = ["scontrol", "show", "config"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        if found := re.search(r"^MaxArraySize\s*=\s*(\d+)", told, re.MULTILINE):
            return max(1, int(found[1]) - 1)
    return _MOST_OF_ARRAY


def _parameters(
    cluster: Cluster, name: str, after: Sequence[str], alone: bool, gres: bool, most: int
) -> dict[str, Any]:
    """The cluster's settings by submitit's names."""
    more = {key.replace("_", "-"): value for key, value in cluster.options.items() if value is not False}
    more |= {"requeue": True}
    if cluster.memory:
        more["mem"] = cluster.memory
    found = {
        "job_name": name,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "gres": cluster.gres if gres else None,
        "time": cluster.minutes,
        "nodes": 1,
        "ntasks_per_node": 1,
        "cpus_per_task": cluster.cpus,
        "array_parallelism": cluster.parallel or most,
        "signal_delay_s": cluster.warning,
        "setup": cluster.setup or None,
        "dependency": "afterany:" + ":".join(dict.fromkeys(job.partition("_")[0] for job in after)) if after else None,
        "exclusive": alone or None,
        "stderr_to_stdout": True,
        # srun is told again: it would start a task on every core of a node, and threads are not handed down to it
        "srun_args": ["--nodes=1", "--ntasks=1", f"--cpus-per-task={cluster.cpus}"],
        "additional_parameters": more,
    }
    return {key: value for key, value in found.items() if value is not None}


def array_script(cluster: Cluster, name: str, folder: Path, command: Sequence[str], runs: Sequence[str]) -> str:
    """A script for sbatch: an array whose tasks execute `command` with the name of a run as the last argument."""
    limit = f"%{cluster.parallel}" if cluster.parallel else ""
    options: dict[str, Any] = {
        "job-name": name,
        "partition": cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "gres": cluster.gres,
        "time": cluster.time,
        "cpus-per-task": cluster.cpus,
        "mem": cluster.memory,
        "array": f"0-{len(runs) - 1}{limit}",
        "signal": f"B:USR1@{cluster.warning}",
        "requeue": True,
        "open-mode": "append",
        "output": folder / "%A_%a_log.out",
        **{key.replace("_", "-"): value for key, value in cluster.options.items()},
    }
    lines = [
        f"#SBATCH --{key}" + ("" if value is True else f"={shlex.quote(str(value))}")
        for key, value in options.items()
        if value is not None and value is not False
    ]
    line = shlex.join([sys.executable, "-u", *command])
    task = f'exec {line} "${{runs[$SLURM_ARRAY_TASK_ID]}}"'
    return "\n".join(["#!/bin/bash", *lines, "", *cluster.setup, f"runs=({shlex.join(runs)})", task, ""])


class _Task:
    """What submitit calls in a job."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def __call__(self) -> None:
        requeued_if_stopped(self.work)


def requeued_if_stopped(work: Callable[[], None]) -> None:
    """Call `work` in a job; if the job is told to end, put it back into the queue once the work has stopped.

    Raises SystemExit then, and SlurmError if it could not be put back; the same command resumes what was saved.
    """
    told: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        if len(told) == 1:  # the others follow while the work stops
            raise KeyboardInterrupt

    for number in STOP:
        signal.signal(number, stop)
    try:
        work()
        return
    except KeyboardInterrupt as stopped:
        if not told:
            told.append(signal.SIGINT)
        _tell(f"{stopped or 'stopped'}")
    _requeue()
    raise SystemExit(0)


def _tell(text: str) -> None:
    with contextlib.suppress(OSError):  # a full disk must not keep a job from going back into the queue
        print(text, flush=True)


def _requeue() -> None:
    job = this_job()
    if job is None:
        return
    if int(os.environ.get("SLURM_RESTART_COUNT", "0")) >= _MOST_RESTARTS:
        raise SlurmError(f"job {job}: was restarted {_MOST_RESTARTS} times, and is not put back again")
    refusal = "Slurm does not answer"
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_S)
        waiting = queue()
        if waiting is None:  # the controller does not answer
            continue
        if job not in waiting or waiting[job].state != "RUNNING":
            _tell(f"job {job} was cancelled, or is back in the queue already")
            return
        try:
            subprocess.run(["scontrol", "requeue", job], check=True, capture_output=True, text=True, timeout=60)
        except subprocess.CalledProcessError as error:
            refusal = " ".join(error.stderr.split()) or f"scontrol ended with {error.returncode}"
        except (OSError, subprocess.SubprocessError) as error:
            refusal = one_line(error)
        else:
            _tell(f"job {job} goes back into the queue")
            return
    raise SlurmError(f"job {job}: {refusal}; the job is not put back, and the same command resumes its work")
