"""Carrying out one run: train, evaluate, cost, whatever of it is still to be done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from filelock import FileLock, Timeout

from benchmarks.measure.provenance import Process
from benchmarks.runs.plan import Job
from benchmarks.runs.stages import WEIGHTS, RefusedRun, RunError, Watch, Work, costing, evaluate, train
from results import STAGES, digest
from results.state import state


class ElsewhereRun(RunError):
    """A run that another process is at work on."""


def execute(job: Job, watch: Watch, say: Callable[[str], None], rerun: bool = False) -> bool:
    """Finish a run: what is finished stays, what is damaged or of other settings is measured again, and an interrupted
    training resumes. A finished training is repeated only with `rerun`; the old folder is then kept.

    Returns False if there was nothing to do. Raises RefusedRun for a training that would have to be repeated,
    ElsewhereRun if another process is at work on the run, and whatever a stage raises; what was stored before stays.
    """
    run = job.run
    if _nothing_to_do(job, rerun):
        return False
    lock = run.folder.parent / f".{run.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            todo = state(run, job.stages)
            for line in (*todo.stale, *todo.damaged):
                say(f"{run.name}: {line}")
            if todo.refused and not rerun:
                raise RefusedRun(todo.refused)
            repeated = bool(todo.refused) or (rerun and todo.gone)
            if repeated:
                say(f"{run.name}: the old run is kept in {run.set_aside()}")
            for file in ("run.yaml", "provenance.json"):
                if any(line.startswith(f"{file}:") for line in todo.damaged) and run.path(file).exists():
                    say(f"{run.name}: {file} is written anew; the damaged one is kept as {run.put_away(file).name}")
            try:
                return _carry_out(job, watch)
            except RefusedRun as error:
                if not rerun:
                    raise
                say(f"{run.name}: {error}; the old run is kept in {run.set_aside()}")
                return _carry_out(job, watch)
    except Timeout:
        raise ElsewhereRun(f"{run.name}: another process is at work on it ({lock})") from None


def _carry_out(job: Job, watch: Watch) -> bool:
    todo = state(job.run, job.stages)
    _describe(job)
    for stage in todo.pending:
        _STAGES[stage](Work(job, todo, Process(job.device), watch))
    if "train" in job.stages and _left_checkpoint(job):
        job.run.path("checkpoint.pt").unlink()
    return bool(todo.pending)


def _left_checkpoint(job: Job) -> bool:
    """Whether a checkpoint is left of a training that is finished and recorded: it was killed right after."""
    record = job.run.provenance().get("train") if job.run.path("checkpoint.pt").is_file() else None
    return record is not None and record["hash"] == digest(job.stages["train"]) and job.run.path(WEIGHTS).is_file()


def _nothing_to_do(job: Job, rerun: bool) -> bool:
    todo = state(job.run, job.stages)
    repairable = [line for line in todo.damaged if not line.startswith("training.csv:")]
    if todo.pending or repairable or todo.refused or (todo.gone and rerun):
        return False
    return not ("train" in job.stages and _left_checkpoint(job))


def _describe(job: Job) -> None:
    """Write run.yaml, if it does not say the same already. Sets measured earlier stay in it."""
    stages = {name: dict(stage) for name, stage in job.stages.items()}
    stored = (job.run.description() or {}).get("stages", {})
    for name, stage in stored.items():
        stages.setdefault(name, stage)  # such as the costs of a run that is trained alone now
    if "evaluate" in job.stages and (known := stored.get("evaluate", {}).get("sets")):
        others = {name: each for name, each in known.items() if name not in stages["evaluate"]["sets"]}
        stages["evaluate"]["sets"] = {**stages["evaluate"]["sets"], **others}
    ordered = {name: stages[name] for name in STAGES if name in stages}
    if not job.run.says(job.header, ordered):
        job.run.describe(job.header, ordered)


_STAGES: Mapping[str, Callable[[Work], None]] = {"train": train, "evaluate": evaluate, "cost": costing}
