"""`spinbench status`: what is told of runs, which are shown, and watching them."""

from __future__ import annotations

import json
import re
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.runs.announced import announced, told
from results import Run
from results.activity import Activity, activity_file, standing, tell
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import TINY, Finished


@pytest.fixture
def folder(finished: Finished, tmp_path: Path) -> Path:
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    return tmp_path


def rows(folder: Path, *arguments: object) -> dict[str, dict[str, object]]:
    done = spinbench("status", *arguments, "--results", folder, "--threads", 1, "--json")
    assert done.returncode == 0, done.stderr
    return {row["run"]: row for row in json.loads(done.stdout)}


def test_everything_that_was_run_is_shown_and_can_be_narrowed(folder: Path) -> None:
    found = rows(folder)
    assert {row["protocol"] for row in found.values()} == {"tiny"} and len(found) == 7
    full = found["full-x4-s0"]
    assert (full["state"], full["pending"], full["step"], full["steps"]) == ("finished", [], 4, 4)
    assert full["bytes"] == sum(path.stat().st_size for path in (folder / "runs/tiny/full-x4-s0").rglob("*.*"))
    assert found["svq-x4-s0"]["pending"] == ["train", "evaluate", "cost"]
    some = ["table2", "--protocol", TINY, "--only", "SVQ,Full", "--scale", "2,4", "--seeds", "0,1"]
    assert list(rows(folder, *some)) == [
        "bicubic-x2-s0", "bicubic-x4-s0", "svq-x2-s0", "svq-x4-s0", "svq-x2-s1", "svq-x4-s1",
        "full-x2-s0", "full-x4-s0", "full-x2-s1", "full-x4-s1",
    ]  # fmt: skip


def test_a_process_tells_what_it_does(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 12.0, 30.0])
    monkeypatch.setattr("benchmarks.runs.announced.time.monotonic", lambda: next(clock))
    run = Run("tiny", "svq", 4, 0, folder)
    with announced(run):
        step = told(run, lambda name, stage: lambda done, total, note: None)(run.name, "train")
        step(1, 12, "loss 20.00")
        step(2, 12, "loss 19.00")  # two seconds later: not told
        assert standing(run).step == 1
        step(5, 12, "loss 17.50")
        seen = rows(folder)[run.name]
        assert (seen["state"], seen["stage"], seen["step"], seen["loss"]) == ("running", "train", 5, 17.5)
        assert seen["left_s"] == 35  # 4 steps took 20 s, 7 are left
        shown = spinbench("status", "--results", folder).stdout
        assert re.search(r"svq-x4-s0 *│ running: train *│ +5/\S+ │ 17.50 │ 0:35 │ .*│ train, evaluate, cost", shown)
    assert rows(folder)[run.name]["state"] == "unfinished" and not activity_file(run).exists()


def test_it_fits_a_terminal_with_the_names_in_full(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spinbench.status.console._width", 80)
    shown = [line for line in spinbench("status", "--results", folder).stdout.splitlines() if "│" in line]
    assert [line.split("│")[1].strip() for line in shown] == list(rows(folder))
    assert max(map(len, shown)) <= 80
    assert "host" not in spinbench("status", "--results", folder).stdout  # nothing runs


def test_a_process_that_is_gone_tells_nothing(folder: Path) -> None:
    run, own = Run("tiny", "svq", 4, 0, folder), Activity.of_this_process("train")
    tell(run, replace(own, born=own.born - 100))  # the number belongs to another process by now
    assert standing(run).activity is None
    tell(run, replace(own, host="another", pid=1))
    assert standing(run).activity is not None
    content = json.loads(activity_file(run).read_text()) | {"told": time.time() - 7200}
    activity_file(run).write_text(json.dumps(content))
    assert standing(run).activity is None
    activity_file(run).write_text("{")
    assert standing(run).activity is None


def test_watching_ends_with_ctrl_c(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("spinbench.status.sleep", sleep)
    done = spinbench("status", "--watch", "--results", folder)
    assert (done.returncode, len(looks)) == (0, 3)
    assert "full-x4-s0" in done.stdout and "7 runs, " in done.stdout


def test_wrong_arguments_are_one_line(folder: Path) -> None:
    for arguments, message in (
        (["--watch", "--json"], "--watch and --json: expected one of them"),
        (["--only", "fulll"], "unknown variant 'fulll'; did you mean 'full'?"),
        (["tabel2"], "unknown experiment 'tabel2'; did you mean 'table2'?"),
        (["--seeds", "a"], "--seeds a: expected whole numbers"),
    ):
        done = spinbench("status", *arguments, "--results", folder)
        assert done.returncode == 1 and message in done.stderr and done.stderr.count("\n") == 1
