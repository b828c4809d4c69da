"""The costs of runs, measured together after all trainings: every network takes its turns on the same device."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from benchmarks.measure.cost import Subject, costs
from benchmarks.measure.provenance import Process
from benchmarks.runs.executors import ElsewhereRun, describe, held, replace_damaged, tell
from benchmarks.runs.plan import Job
from benchmarks.runs.stages import BeginStage
from results import STAGES, Run, digest
from results.state import state

FILE = STAGES["cost"]


def measure_costs(jobs: Sequence[Job], begin: BeginStage, say: Callable[[str], None]) -> list[Run]:
    """Measure the pending costs of jobs that have no other stage; returns the runs that had any.

    Runs that differ in their seeds alone are measured once. Runs that another process is executing are left to it.
    Raises CostError and the errors of `models.build`, and then stores nothing.
    """
    with ExitStack() as stack:
        pending: list[Job] = []
        for job in jobs:
            if state(job.run, job.stages).pending:
                with suppress(ElsewhereRun):
                    stack.enter_context(held(job.run, "cost"))
                    pending.append(job)
        networks: dict[str, list[Job]] = {}
        for job in pending:
            todo = state(job.run, job.stages)
            tell(job, todo, say)
            replace_damaged(job.run, todo, say)
            describe(job)
            networks.setdefault(digest(job.stages["cost"]), []).append(job)
        if not networks:
            return []
        first = [same[0] for same in networks.values()]
        settings, process = first[0].protocol.costing, Process(first[0].device)
        measured = costs(
            [Subject(str(job.variant.model), job.run.scale, job.variant.config) for job in first],
            first[0].device,
            lr_size=settings.latency_lr,
            repeats=settings.repeats,
            warmup_s=settings.warmup,
            memory=settings.memory,
            progress=begin(first[0].run.name if len(first) == 1 else f"{len(first)} networks", "cost"),
        )
        for same, content in zip(networks.values(), measured, strict=True):
            for job in same:
                if job.run.path(FILE).is_file():
                    job.run.put_away(FILE)
                files = {FILE: job.run.write(FILE, json.dumps(content, indent=1))}
                job.run.record("cost", digest(job.stages["cost"]), process.facts(), files)
        return [job.run for job in pending]
