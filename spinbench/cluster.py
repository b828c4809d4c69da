"""The execution of an experiment on a Slurm cluster: a job for each run, then one for the costs, then the report."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import ablations
from ablations import Cluster
from benchmarks.data import datasets
from benchmarks.data.decoded import SCRATCH, decoded
from benchmarks.data.fetch import mirror_folder
from benchmarks.measure import devices
from benchmarks.runs import orchestrator, slurm
from benchmarks.runs.apart import write_to_log
from benchmarks.runs.executors import execute, nothing_to_do
from benchmarks.runs.places import Place
from benchmarks.runs.plan import Job, without_stages
from benchmarks.runs.pool import attempted
from benchmarks.runs.progress import Advance
from benchmarks.runs.stages import RunError
from foundation import cache_folder, nearest, write
from results import Run, activity, definitions
from results.queue import SLURM, Queued, queue, this_job
from results.state import state
from spinbench.console import say
from spinbench.report import render
from spinbench.selection import Selection

_ALONE = ("train", "evaluate")  # the stages of a run that need it alone


@dataclass(frozen=True)
class RunTask:
    """Trains and evaluates the run of this name."""

    selection: Selection
    name: str
    cluster: Cluster
    rerun: bool = False

    def __call__(self) -> None:
        place = _enter(self.cluster)
        jobs = {job.run.name: without_stages(job, _ALONE) for job in self.selection.plan(place)}
        if self.name not in jobs:
            raise RunError(f"{self.name}: no run of {self.selection.experiment} any more; {nearest(self.name, jobs)}")
        job = jobs[self.name]
        print(f"{job.run.name}: what it does is told in {write_to_log(job.run)}", flush=True)
        progress = _Lines()
        try:
            outcome = attempted(job, lambda: execute(job, progress.stage, progress.line, self.rerun))
        except KeyboardInterrupt:
            if slurm_id := this_job():
                activity.tell(job.run, activity.Activity.of_queued(slurm_id))
            raise
        progress.line(f"{job.run.name} {outcome.word}")
        if outcome.error:
            raise RunError(f"{job.run.name} {outcome.word}: {outcome.error}")


@dataclass(frozen=True)
class CostTask:
    """Measures the pending costs of all runs that are trained and evaluated."""

    selection: Selection
    cluster: Cluster

    def __call__(self) -> None:
        place = _enter(self.cluster)
        jobs = [job for job in self.selection.plan(place) if nothing_to_do(without_stages(job, _ALONE), rerun=False)]
        progress = _Lines()
        failed = [outcome for outcome in orchestrator.measure(jobs, progress, place).values() if outcome.error]
        if failed:
            raise RunError("; ".join(f"{outcome.job.run.name}: {outcome.error}" for outcome in failed))


@dataclass(frozen=True)
class ReportTask:
    """Renders the report."""

    protocol: str
    folder: Path

    def __call__(self) -> None:
        render(self.protocol, self.folder)


class _Lines:
    """The progress as lines of a log."""

    def stage(self, run: str, stage: str) -> Advance:
        self.line(f"{run} {stage}")
        return lambda done, total, note: None  # told beside the run, for `spinbench status`

    def done(self, text: str, run: str | None = None) -> None:
        self.line(text)

    def line(self, text: str) -> None:
        say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")


def submit(selection: Selection, cluster: Cluster, rerun: bool) -> None:
    """Submit what is pending and not in the queue yet, and print the jobs. Data are fetched and decoded before."""
    jobs = _prepared(selection, cluster, say)
    say(f"{len(jobs)} runs under protocol {ablations.name_of(selection.protocol)} in Slurm")
    in_slurm = queue()
    if in_slurm is None and shutil.which("squeue"):
        raise slurm.SlurmError("squeue does not answer: what is in the queue already is not known; try again later")
    plan = _sorted(jobs, rerun, in_slurm)
    for line in plan.refused:
        say(line)
    if plan.there:
        names = ", ".join(f"{run.name} ({job})" if job else run.name for run, job in plan.there)
        say(f"in the queue or being executed already: {names}")
    folder, name = selection.folder / SLURM, ablations.name_of(selection.protocol)
    before = [job for _, job in plan.there if job]
    ids: list[str] = []
    for runs, later in ((plan.first, False), (plan.later, True)):
        if not runs:
            continue
        tasks = [RunTask(selection, run.name, cluster, rerun) for run in runs]
        after = [*before, *ids] if later else ()
        found = slurm.submit(tasks, cluster, folder, f"{name}-runs", after=after, accepted=partial(_tell_queued, runs))
        say(f"{_shown(found)}" + (", after those from whose weights they start" if later else ""))
        ids += found
    if not ids and plan.there:
        say("nothing else is to be submitted; the costs and the report follow them")
        return
    if not ids and not any(state(job.run, job.stages).pending for job in plan.ready):
        render(selection.protocol, selection.folder)
        return
    after = [*before, *ids]
    last_known = folder / f".{name}-last"
    if not ids and (waiting := _still_waiting(last_known)):
        say(f"the costs and the report are in the queue already: job {', '.join(waiting)}")
        return
    costs = slurm.submit([CostTask(selection, cluster)], cluster, folder, f"{name}-costs", after=after, alone=True)
    report = ReportTask(selection.protocol, selection.folder)
    last = slurm.submit([report], cluster, folder, f"{name}-report", after=costs, gres=False)
    write(last_known, " ".join([*costs, *last]))
    say(f"costs: job {costs[0]}; report: job {last[0]}; messages of the jobs: {folder}")
    say("spinbench status --watch shows how far they are; the same command submits what has failed or was cancelled")


def script(selection: Selection, cluster: Cluster, cluster_file: Path, rerun: bool) -> str:
    """A script for sbatch that executes the pending runs which can be executed now, as its comments say."""
    notes: list[str] = []
    jobs = _prepared(selection, cluster, notes.append)
    plan = _sorted(jobs, rerun, queue())
    folder = selection.folder / SLURM
    folder.mkdir(parents=True, exist_ok=True)
    notes += plan.refused
    notes.append(f"{len(plan.first)} of {len(jobs)} runs; {len(plan.there)} are being executed already.")
    notes.append("What waits in the queue through a script like this is not known here: submit it once.")
    if plan.later:
        notes.append(
            f"{len(plan.later)} more start from weights of these: print the script again when these are there."
        )
    notes.append("When all are finished, this measures the costs and renders the report:")
    notes.append(f"  {shlex.join(['spinbench', 'run', *selection.arguments()])}")
    command = ["-m", "spinbench", "run", *selection.arguments(), "--cluster", str(cluster_file.resolve())]
    command += [*(["--rerun"] if rerun else []), "--task"]
    if plan.first:
        names = [run.name for run in plan.first]
        text = slurm.array_script(cluster, ablations.name_of(selection.protocol), folder, command, names)
    else:
        text = "#!/bin/bash\n"
    first, rest = text.split("\n", 1)
    return "\n".join([first, *(f"# {one_line}" for note in notes for one_line in note.splitlines()), rest])


def _prepared(selection: Selection, cluster: Cluster, tell: Callable[[str], None]) -> list[Job]:
    """The plan; its data are fetched and decoded, since compute nodes may have no network."""
    _, protocol = selection.definitions()
    jobs = selection.plan(planned_place(cluster), tell)
    if protocol.training:
        for scale in dict.fromkeys(job.run.scale for job in jobs if "train" in job.stages):
            decoded(datasets.get(protocol.training.data), scale)
    definitions.remember(selection.protocol, selection.experiment, selection.folder)
    definitions.ask(selection.protocol, (job.run for job in jobs), selection.folder)
    return jobs


class _Sorted(NamedTuple):
    """The runs to execute, `first` those that start from nothing, `later` those that start from weights that are not
    there yet; those `there`, in the queue or at work, each with its job in Slurm; what is `ready`; and a line for each
    that is `refused`."""

    first: list[Run]
    later: list[Run]
    there: list[tuple[Run, str | None]]
    ready: list[Job]
    refused: list[str]


def _sorted(jobs: Sequence[Job], rerun: bool, in_slurm: Mapping[str, Queued] | None) -> _Sorted:
    found = _Sorted([], [], [], [], [])
    for job in jobs:
        alone = without_stages(job, _ALONE)
        refused = state(job.run, alone.stages).refused
        if at_work := activity.standing(job.run, in_slurm).activity:
            found.there.append((job.run, at_work.job))
        elif refused and not rerun:
            found.refused.append(f"refused: {job.run.name}: {refused}; --rerun trains it again")
        elif nothing_to_do(alone, rerun):
            found.ready.append(job)
        elif job.start and not nothing_to_do(_start_of(job, jobs), rerun):
            found.later.append(job.run)
        else:
            found.first.append(job.run)
    return found


def _tell_queued(runs: Sequence[Run], place: int, job: str) -> None:
    activity.tell(runs[place], activity.Activity.of_queued(job))


def _still_waiting(file: Path) -> list[str]:
    """The jobs of the costs and the report that were submitted last, if they have not ended."""
    told = file.read_text(encoding="utf-8").split() if file.is_file() else []
    return [job for job in told if job in (queue() or {})]


def _start_of(job: Job, jobs: Sequence[Job]) -> Job:
    return next(without_stages(one, ("train",)) for one in jobs if one.run == job.start)


def _shown(ids: Sequence[str]) -> str:
    if len(ids) == 1:
        return f"1 run: job {ids[0]}"
    return f"{len(ids)} runs: jobs {ids[0]} to {ids[-1]}"


def planned_place(cluster: Cluster) -> Place:
    """Where runs will be executed, of which this machine needs to have nothing."""
    return Place("cuda" if cluster.gpu else "cpu", cluster.cpus)


def _enter(cluster: Cluster) -> Place:
    """Prepare this process, in a job, to compute; it never uses the network."""
    if mirror_folder() is None:
        os.environ["SPINBENCH_MIRROR"] = str(cache_folder())
    if cluster.scratch:
        scratch = Path(os.path.expandvars(cluster.scratch))
        if "$" in str(scratch) or not scratch.is_absolute():
            raise RunError(f"scratch: {cluster.scratch} is {scratch} on this node, expected the whole path of a folder")
        os.environ[SCRATCH] = str(scratch)
    place = planned_place(cluster)
    return Place(place.device, place.threads, devices.card(place.enter()))


def in_job(task: Callable[[], None]) -> None:
    """Execute a task of an array that was not submitted by submitit."""
    if this_job():
        slurm.requeued_if_stopped(task)
    else:
        task()
