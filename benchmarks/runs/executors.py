"""Execution of the pending stages of one run that need it alone: train and evaluate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from filelock import Timeout

from benchmarks.measure.provenance import Process
from benchmarks.runs.announced import announced, told
from benchmarks.runs.plan import Job
from benchmarks.runs.stages import WEIGHTS, BeginStage, RefusedRun, RunError, Work, evaluate
from benchmarks.runs.training import train
from foundation.locks import locked
from results import STAGES, Run, digest
from results.state import RunState, state


class ElsewhereRun(RunError):
    """A run that another process is executing."""


def execute(job: Job, begin: BeginStage, say: Callable[[str], None], rerun: bool = False) -> bool:
    """Finish a run: finished stages are kept, damaged or stale measurements are repeated, and an interrupted training
    resumes. A finished training is repeated only with `rerun`, and its old folder is kept.

    Returns False if no stage was pending. Raises RefusedRun if the training would have to be repeated, ElsewhereRun if
    another process is executing the run, and the errors of the stages; stored results are kept.
    """
    run = job.run
    if nothing_to_do(job, rerun):
        return False
    with held(run):
        todo = state(run, job.stages)
        tell(job, todo, say)
        if todo.refused and not rerun:
            raise RefusedRun(todo.refused)
        repeated = bool(todo.refused) or (rerun and todo.gone)
        if repeated:
            say(f"{run.name}: the old run is kept in {run.set_aside()}")
        replace_damaged(run, todo, say)
        try:
            return _carry_out(job, begin)
        except RefusedRun as error:
            if not rerun:
                raise
            say(f"{run.name}: {error}; the old run is kept in {run.set_aside()}")
            return _carry_out(job, begin)


@contextmanager
def held(run: Run, stage: str = "") -> Iterator[None]:
    """A context in which no other process executes the run, as `spinbench status` shows. Raises ElsewhereRun if one
    does."""
    try:
        with locked(run.lock, timeout=0), announced(run, stage):
            yield
    except Timeout:
        raise ElsewhereRun(f"{run.name}: another process is executing it ({run.lock})") from None


def tell(job: Job, todo: RunState, say: Callable[[str], None]) -> None:
    """Report what is stale or damaged, but for the files of stages that the job does not have."""
    others = tuple(f"{file}:" for stage, file in STAGES.items() if stage not in job.stages)
    for line in (*todo.stale, *todo.damaged):
        if not line.startswith(others):
            say(f"{job.run.name}: {line}")


def replace_damaged(run: Run, todo: RunState, say: Callable[[str], None]) -> None:
    """Put away what describes a run and cannot be read, so that it is written anew."""
    for file in ("run.yaml", "provenance.json"):
        if any(line.startswith(f"{file}:") for line in todo.damaged) and run.path(file).exists():
            say(f"{run.name}: {file} is written anew; the damaged one is kept as {run.put_away(file).name}")


def _carry_out(job: Job, begin: BeginStage) -> bool:
    todo, begin = state(job.run, job.stages), told(job.run, begin)
    describe(job)
    for stage in todo.pending:
        _STAGES[stage](Work(job, todo, Process(job.device), begin))
    if "train" in job.stages and _left_checkpoint(job):
        job.run.path("checkpoint.pt").unlink()
    return bool(todo.pending)


def _left_checkpoint(job: Job) -> bool:
    """Whether a finished and recorded training has left its checkpoint, since the process was killed right after."""
    record = job.run.provenance().get("train") if job.run.path("checkpoint.pt").is_file() else None
    return record is not None and record["hash"] == digest(job.stages["train"]) and job.run.path(WEIGHTS).is_file()


def nothing_to_do(job: Job, rerun: bool) -> bool:
    """Whether `execute` would leave the run as it is."""
    todo = state(job.run, job.stages)
    repairable = [line for line in todo.damaged if not line.startswith("training.csv:")]
    if todo.pending or repairable or todo.refused or (todo.gone and rerun):
        return False
    return not ("train" in job.stages and _left_checkpoint(job))


def describe(job: Job) -> None:
    """Write run.yaml unless it is up to date. Sets that were measured earlier are kept in it."""
    stages = {name: dict(stage) for name, stage in job.stages.items()}
    stored = (job.run.description() or {}).get("stages", {})
    for name, stage in stored.items():
        stages.setdefault(name, stage)  # such as the costs, when only the training is requested
    if "evaluate" in job.stages and (known := stored.get("evaluate", {}).get("sets")):
        others = {name: each for name, each in known.items() if name not in stages["evaluate"]["sets"]}
        stages["evaluate"]["sets"] = {**stages["evaluate"]["sets"], **others}
    ordered = {name: stages[name] for name in STAGES if name in stages}
    if not job.run.says(job.header, ordered):
        job.run.describe(job.header, ordered)


_STAGES: Mapping[str, Callable[[Work], None]] = {"train": train, "evaluate": evaluate}
