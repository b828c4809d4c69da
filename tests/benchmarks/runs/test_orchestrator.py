"""Several runs and several processes: what each run's outcome is called, and when a run is looked at again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import ablations
from benchmarks.runs import orchestrator, pool
from benchmarks.runs.executors import ElsewhereRun
from benchmarks.runs.plan import Job, plan
from benchmarks.runs.progress import Advance
from benchmarks.runs.stages import RefusedRun

TINY = str(Path(__file__).parents[2] / "tiny.yaml")
Execute = Callable[..., bool]


def planned(root: Path) -> list[Job]:
    definition, protocol = ablations.load_experiment("table2"), ablations.load_protocol(TINY)
    sets = {4: ["embedded-test"]}
    return plan(definition, TINY, protocol, only=["svq", "full"], device=torch.device("cpu"), sets=sets, root=root)


class Quiet:
    """Progress that nobody watches."""

    def stage(self, run: str, stage: str) -> Advance:
        return lambda done, total, note: None

    def done(self, text: str, run: str | None = None) -> None:
        pass

    line = done


def words(jobs: list[Job], monkeypatch: pytest.MonkeyPatch, execute: Execute) -> dict[str, str]:
    monkeypatch.setattr(pool, "execute", execute)
    monkeypatch.setattr(orchestrator, "measure_costs", lambda *_: [])
    outcomes = orchestrator.carry_out(jobs, Quiet())
    return {outcome.job.run.variant: outcome.word for outcome in outcomes}


def test_runs_elsewhere_are_looked_at_again_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def execute(job: Job, *_: object) -> bool:
        seen.append(job.run.variant)
        if job.run.variant == "svq" and seen.count("svq") == 1:
            raise ElsewhereRun("held")
        if job.run.variant == "full":
            raise ElsewhereRun("held")
        return job.run.variant != "svq"  # finished by the other process

    found = words(planned(tmp_path), monkeypatch, execute)
    assert found == {"bicubic": "done", "svq": "already finished", "full": "elsewhere"}
    assert seen == ["bicubic", "svq", "full", "svq", "full"]


def test_what_fails_keeps_its_traceback_until_it_succeeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = planned(tmp_path)
    jobs[1].run.folder.mkdir(parents=True)
    failure = jobs[1].run.path("failure.txt")

    def fail(job: Job, *_: object) -> bool:
        if job.run.variant == "svq":
            raise OSError(28, "No space left on device", "quality.csv")
        if job.run.variant == "full":
            raise RefusedRun("was trained under other settings")
        return True

    assert words(jobs, monkeypatch, fail) == {"bicubic": "done", "svq": "failed", "full": "refused"}
    assert "in fail\n" in failure.read_text() and "No space left on device" in failure.read_text()
    assert words(jobs, monkeypatch, lambda *_: True) == dict.fromkeys(["bicubic", "svq", "full"], "done")
    assert not failure.exists()
