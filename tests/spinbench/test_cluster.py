"""Runs on a cluster as they are asked for, without a cluster."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.runs import slurm
from results import Run, activity
from results.queue import Queued
from spinbench import cluster as on_cluster
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import TINY, write_protocol


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cluster.yaml"
    path.write_text('time: "00:10:00"\n')
    return path


class Site:
    """Takes jobs as Slurm does, and executes none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.submitted: list[tuple[str, list[Any], list[str]]] = []
        self.jobs: dict[str, Queued] = {}
        monkeypatch.setattr(slurm, "submit", self.submit)
        monkeypatch.setattr(on_cluster, "queue", lambda: self.jobs)

    def submit(
        self, works: Sequence[Any], *given: Any, after: Sequence[str] = (), accepted: Any = None, **_: Any
    ) -> list[str]:
        number = len(self.submitted) + 1
        self.submitted.append((str(given[2]), list(works), list(after)))
        ids = [f"{number}_{index}" for index in range(len(works))] if len(works) > 1 else [str(number)]
        for place, job in enumerate(ids):
            if accepted:
                accepted(place, job)
        self.jobs |= {job: Queued("PENDING", "Priority") for job in ids}
        return ids


def submit(folder: Path, file: Path, protocol: Path = TINY, *more: object) -> Any:
    return spinbench(
        "run", "table2", "--protocol", protocol, "--only", "patch", "--results", folder,
        "--executor", "slurm", "--cluster", file, *more,
    )  # fmt: skip


def test_runs_then_costs_then_the_report(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, folder = Site(monkeypatch), tmp_path / "results"
    done = submit(folder, file)
    assert done.returncode == 0, done.stderr
    (runs, tasks, none), (costs, _, after_runs), (report, _, after_costs) = site.submitted
    assert (runs, costs, report) == ("tiny-runs", "tiny-costs", "tiny-report")
    assert [task.name for task in tasks] == ["bicubic-x4-s0", "patch-x4-s0"] and not none
    assert after_runs == ["1_0", "1_1"] and after_costs == ["2"]
    told = activity.read_activity(activity.activity_file(Run("tiny", "patch", 4, 0, folder)))
    assert told and told.job == "1_1" and told.stage == activity.QUEUED
    again = submit(folder, file)
    assert "being executed already: bicubic-x4-s0 (1_0), patch-x4-s0 (1_1)" in again.stdout
    assert len(site.submitted) == 3, "nothing is submitted twice"
    del site.jobs["1_1"]  # cancelled
    submit(folder, file)
    _, _, _, (_, tasks, _), (_, _, after), _ = site.submitted
    assert [task.name for task in tasks] == ["patch-x4-s0"] and after == ["1_0", "4"]


def test_what_starts_from_weights_comes_after_them(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, folder = Site(monkeypatch), tmp_path / "results"
    protocol = write_protocol(tmp_path / "warm.yaml", {"warm_start": 2})
    submit(folder, file, protocol, "--scale", "2,4")
    first, later = site.submitted[:2]
    assert len(first[1]) == 3 and [task.name for task in later[1]] == ["patch-x4-s0"]  # after bicubic and patch x2
    assert later[2] == ["1_0", "1_1", "1_2"]
    del site.jobs["2"]
    submit(folder, file, protocol, "--scale", "2,4")
    assert site.submitted[4][2] == ["1_0", "1_1", "1_2"], "also after those that were submitted before"


@pytest.mark.parametrize("answer", [{}, None])
def test_the_script_names_whole_paths_and_keeps_to_comments(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Queued] | None
) -> None:
    monkeypatch.setattr(on_cluster, "queue", lambda: answer)
    monkeypatch.setattr("shutil.which", lambda name: name)  # a login node of a controller that does not answer
    done = spinbench(
        "run", "table2", "--protocol", os.path.relpath(TINY), "--only", "patch",
        "--results", os.path.relpath(tmp_path / "my results"), "--cluster", file, "--print-sbatch",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=False).returncode == 0
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    assert lines[0] == "runs=(bicubic-x4-s0 patch-x4-s0)" and len(lines) == 2
    assert f"--protocol {TINY}" in lines[1] and f"'{tmp_path / 'my results'}'" in lines[1]
    assert "#SBATCH --array=0-1\n" in done.stdout


def test_a_queue_that_does_not_answer_is_no_empty_one(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(monkeypatch)
    monkeypatch.setattr(on_cluster, "queue", lambda: None)
    monkeypatch.setattr("shutil.which", lambda name: name)
    done = submit(tmp_path / "results", file)
    assert done.returncode == 1 and "squeue does not answer" in done.stderr and not site.submitted


def test_costs_and_report_are_submitted_once(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site, folder = Site(monkeypatch), tmp_path / "results"
    monkeypatch.setattr(on_cluster, "nothing_to_do", lambda job, rerun: True)
    submit(folder, file)
    again = submit(folder, file)
    assert [name for name, *_ in site.submitted] == ["tiny-costs", "tiny-report"]
    assert "the costs and the report are in the queue already: job 1, 2" in again.stdout


def test_a_run_that_the_plan_does_not_have(tmp_path: Path, file: Path) -> None:
    base = ["run", "table2", "--protocol", TINY, "--only", "patch", "--results", tmp_path, "--cluster", file]
    far = spinbench(*base, "--task", "full-x4-s7")
    assert far.returncode == 1 and "full-x4-s7: no run of table2" in far.stderr and far.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--executor", "slurm"], "needs --cluster FILE"),
        (["--print-sbatch"], "--print-sbatch: needs --cluster FILE"),
        (["--task", "full-x4-s0"], "--task: needs --cluster FILE"),
        (["--executor", "slurm", "--cluster", "nowhere.yaml"], "nowhere.yaml"),
        (["--cluster", "FILE"], "needs --executor slurm, or --print-sbatch"),
        (["--executor", "slurm", "--cluster", "FILE", "--jobs", "2"], "--jobs 2: not on a cluster"),
        (["--executor", "slurm", "--cluster", "FILE", "--threads", "2"], "--threads 2: not on a cluster"),
        (["--executor", "slurm", "--cluster", "FILE", "--device", "cpu"], "--device cpu: not on a cluster"),
    ],
)
def test_wrong_options_are_one_line(tmp_path: Path, file: Path, options: list[str], told: str) -> None:
    given = [str(file) if option == "FILE" else option for option in options]
    done = spinbench("run", "table2", "--protocol", TINY, "--results", tmp_path / "results", *given)
    assert done.returncode == 1 and told in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_run_that_waits_in_the_queue_is_shown(tmp_path: Path) -> None:
    run = Run("tiny", "patch", 4, 0, tmp_path)
    activity.tell(run, activity.Activity.of_queued("12_3"))
    waiting = activity.standing(run, {"12_3": Queued("PENDING", "Resources")}).activity
    assert waiting and waiting.stage == activity.QUEUED and waiting.age_s < 60
    assert activity.standing(run, {}).activity is None, "it has left the queue"
    assert activity.standing(run).activity, "without squeue it is believed for a while"
    assert time.time() - waiting.told < 60
