"""Runs that are stored already: damage is named, and what was trained is never discarded on its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import results
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import TINY, Finished, run_tiny, write_protocol


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("file", ["provenance.json", "run.yaml", "quality.csv", "cost.json"])
def test_damage_is_named_and_mended_where_that_is_cheap(finished: Finished, tmp_path: Path, file: str) -> None:
    """One flipped bit in provenance.json set a finished training aside, and others entered the report in silence."""
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    run = tmp_path / "runs" / "tiny" / "full-x4-s0"
    kept = {name: (run / name).read_bytes() for name in ("weights.safetensors", "quality.csv", "training.csv")}
    damaged = bytearray((run / file).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (run / file).write_bytes(damaged)
    shown = spinbench("status", "table2", "--protocol", TINY, "--results", tmp_path).stdout
    assert "damaged" in next(line for line in shown.splitlines() if "full-x4-s0" in line) and file in shown
    done = run_tiny(tmp_path, "--only", "full")
    assert done.returncode == 0, done.stdout
    assert f"full-x4-s0: {file}: " in done.stdout and "full-x4-s0 train" not in done.stdout
    assert {name: (run / name).read_bytes() for name in kept} == kept
    assert "full-x4-s0 already finished" in run_tiny(tmp_path, "--only", "full").stdout


def test_a_damaged_protocol_does_not_take_the_other_reports_along(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    broken = tmp_path / "runs" / "broken" / "protocol.yaml"
    broken.parent.mkdir()
    broken.write_text("origin: x\n")
    done = spinbench("report", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"left out: {broken}: damaged" in done.stdout
    assert (tmp_path / "report" / "tiny" / "index.html").is_file()


@pytest.mark.usefixtures("without_report")
def test_a_checkpoint_left_behind_is_removed(finished: Finished, tmp_path: Path) -> None:
    """By a kill right after its training was recorded."""
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    left = tmp_path / "runs" / "tiny" / "full-x4-s0" / "checkpoint.pt"
    left.write_bytes(b"any")
    assert run_tiny(tmp_path, "--only", "full").returncode == 0
    assert not left.exists()


@pytest.mark.usefixtures("without_report")
def test_damaged_weights_are_refused_not_trained_anew(finished: Finished, tmp_path: Path) -> None:
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    run = tmp_path / "runs" / "tiny" / "full-x4-s0"
    damaged = bytearray((run / "weights.safetensors").read_bytes())
    damaged[-5] ^= 1
    (run / "weights.safetensors").write_bytes(damaged)
    for command in (("run", "table2", "--only", "full"), ("train", "full")):
        done = spinbench(*command, "--protocol", TINY, "--threads", 1, "--results", tmp_path)
        assert done.returncode == 1
        assert "weights.safetensors: damaged or replaced" in done.stdout and "--rerun" in done.stdout
    assert (run / "weights.safetensors").read_bytes() == damaged
    for command in (["evaluate", "spin", "--data", "embedded-test", "--weights", run], ["check", run]):
        done = spinbench(*command)
        assert done.returncode in (1, 2) and done.stderr.count("\n") == 1
        assert "weights.safetensors: damaged" in done.stderr


@pytest.mark.slow
def test_a_training_under_other_settings_is_refused_and_repeated_when_asked(tmp_path: Path) -> None:
    """Work is never discarded on its own."""
    protocol = write_protocol(tmp_path / "mine.yaml")
    assert run_tiny(tmp_path, "--only", "full", protocol=protocol).returncode == 0
    run = tmp_path / "runs" / "mine" / "full-x4-s0"
    weights = (run / "weights.safetensors").read_bytes()
    write_protocol(protocol, {"iterations": 5})
    for options, todo in ((["--dry-run"], "refused: was trained"), (["--dry-run", "--rerun"], "everything again")):
        planned = run_tiny(tmp_path, "--only", "full", *options, protocol=protocol)
        assert planned.returncode == 0 and todo in planned.stdout
    assert "full-x4-s0" in planned.stdout and "trainings: 0.00 hours" in planned.stdout  # of a few seconds, known
    refused = run_tiny(tmp_path, "--only", "full", protocol=protocol)
    assert refused.returncode == 1
    told = "was trained under other settings (training.iterations: 4 -> 5)"
    assert f"refused: full-x4-s0: {told}" in refused.stdout and "--rerun" in refused.stdout
    assert (run / "weights.safetensors").read_bytes() == weights
    assert "of another definition (training.iterations: 4 -> 5)" in (tmp_path / "report/mine/table2.md").read_text(
    ).replace("-&gt;", "->")  # fmt: skip
    again = run_tiny(tmp_path, "--only", "full", "--rerun", protocol=protocol)
    assert again.returncode == 0, again.stdout
    (kept,) = (tmp_path / "runs" / "mine" / "stale").iterdir()
    assert (kept / "weights.safetensors").read_bytes() == weights
    assert (run / "weights.safetensors").read_bytes() != weights


@pytest.mark.usefixtures("without_report")
def test_what_does_not_decide_the_outcome_makes_nothing_stale(finished: Finished, tmp_path: Path) -> None:
    """Each of these set a finished training aside: threads, workers, checkpoints, validation, a slash in a path."""
    folder = tmp_path / "results"
    images = tmp_path / "images"
    images.mkdir()
    for name in "ab":
        pixels = np.random.default_rng(ord(name)).integers(0, 255, (160, 160, 3), np.uint8)
        Image.fromarray(pixels).save(images / f"{name}.png")
    protocol = write_protocol(tmp_path / "mine.yaml", {"data": str(images)})
    assert run_tiny(folder, "--only", "full", protocol=protocol).returncode == 0
    changes = {"data": f"{images}/", "workers": 1, "checkpoint_every": 3, "validation": None}
    write_protocol(protocol, changes)
    again = spinbench(
        "run", "table2", "--protocol", protocol, "--threads", 2, "--results", folder, "--only", "full"
    )  # fmt: skip
    assert again.returncode == 0, again.stdout
    assert "full-x4-s0 already finished" in again.stdout
    assert "full-x4-s0" in results.load("table2", str(protocol), root=folder).variant.add("-x4-s0").tolist()


@pytest.mark.usefixtures("without_report")
def test_two_protocols_of_one_name_do_not_share_runs(tmp_path: Path) -> None:
    first = write_protocol(tmp_path / "a" / "mine.yaml")
    second = write_protocol(tmp_path / "b" / "mine.yaml", {"iterations": 5})
    assert run_tiny(tmp_path, "--only", "full", protocol=first).returncode == 0
    done = run_tiny(tmp_path, "--only", "full", protocol=second)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and f"holds runs of {first}, not of {second}" in done.stderr
