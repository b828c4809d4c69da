"""Costs of several runs: in turn, once for runs that differ in seeds, each network by itself if one fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

import ablations
from benchmarks.measure import cost
from benchmarks.measure.macs import CostError
from benchmarks.runs import costing, orchestrator
from benchmarks.runs.costing import measure_costs
from benchmarks.runs.executors import held
from benchmarks.runs.plan import Job, plan, without_stages
from results.state import state
from tests.benchmarks.runs.test_orchestrator import TINY, Quiet

CPU = torch.device("cpu")


def planned(root: Path, only: list[str], seeds: Sequence[int] = (0,), card: str | None = None) -> list[Job]:
    definition, protocol = ablations.load_experiment("table2"), ablations.load_protocol(TINY)
    jobs = plan(
        definition,
        TINY,
        protocol,
        only=only,
        seeds=seeds,
        device=CPU,
        card=card,
        sets={4: ["embedded-test"]},
        root=root,
    )
    return [without_stages(job, ["cost"]) for job in jobs if "cost" in job.stages]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What `costs` was asked to measure, by call; it measures nothing, and has no number for "parallel"."""
    calls: list[list[str]] = []

    def costs(subjects: list[cost.Subject], device: torch.device, **_: Any) -> list[dict[str, Any]]:
        names = [str(subject.config) for subject in subjects]
        calls.append(names)
        if any("parallel" in name for name in names):
            raise CostError("operator x has no MAC handler")
        return [{"parameters": number} for number, _ in enumerate(subjects)]

    monkeypatch.setattr(costing, "costs", costs)
    return calls


def test_networks_are_measured_together_and_seeds_share(tmp_path: Path, asked: list[list[str]]) -> None:
    jobs = planned(tmp_path, ["full", "patch"], [0, 1])
    assert measure_costs(jobs, Quiet().stage, Quiet().line) == [job.run for job in jobs]
    assert [len(names) for names in asked] == [2]
    assert [(job.run.cost() or {})["parameters"] for job in jobs] == [0, 0, 1, 1]
    assert all(state(job.run, job.stages).word == "finished" for job in jobs)
    assert measure_costs(jobs, Quiet().stage, Quiet().line) == []
    assert len(asked) == 1


def test_a_run_elsewhere_is_left_to_its_process(tmp_path: Path, asked: list[list[str]]) -> None:
    full, patch = planned(tmp_path, ["full", "patch"])
    with held(full.run):
        assert measure_costs([full, patch], Quiet().stage, Quiet().line) == [patch.run]
    assert full.run.cost() is None


def test_one_network_does_not_take_the_costs_of_the_others_along(tmp_path: Path, asked: list[list[str]]) -> None:
    jobs = planned(tmp_path, ["full", "parallel", "patch"])
    outcomes = {outcome.job.run.variant: outcome for outcome in orchestrator.carry_out(jobs, Quiet())}
    assert {name: outcome.word for name, outcome in outcomes.items()} == {
        "full": "done", "parallel": "failed", "patch": "done",
    }  # fmt: skip
    assert outcomes["parallel"].error == "operator x has no MAC handler"
    assert [len(names) for names in asked] == [3, 1, 1, 1]


def test_another_card_measures_again_and_a_cpu_does_not(tmp_path: Path, asked: list[list[str]]) -> None:
    def measured(card: str | None) -> bool:
        return bool(measure_costs(planned(tmp_path, ["patch"], card=card), Quiet().stage, Quiet().line))

    assert measured("NVIDIA A")
    assert not measured("NVIDIA A")
    assert not measured(None)
    assert measured("NVIDIA B")
    assert len(list(tmp_path.rglob("cost.json.old"))) == 1  # the earlier numbers are kept
    (job,) = planned(tmp_path, ["patch"], card="NVIDIA A")
    assert state(job.run, job.stages).stale == ("cost: card: NVIDIA B -> NVIDIA A",)
