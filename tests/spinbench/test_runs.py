"""The command line as a user meets it: whole runs, resumption after kill -9, and errors in one line."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from filelock import FileLock
from PIL import Image

import ablations
import results
from benchmarks.runs import orchestrator
from benchmarks.training.loop import TrainingStopped
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import CHECKOUT, TINY, Finished, command, run_tiny, write_protocol


def test_a_run_leaves_everything(finished: Finished) -> None:
    folder, done = finished
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "tiny" / "full-x4-s0"
    assert {path.name for path in run.iterdir()} == {
        "measured",
        "run.yaml", "provenance.json", "training.csv", "quality.csv", "cost.json", "weights.safetensors",
    }  # fmt: skip
    assert (folder / "runs" / "tiny" / "asked.txt").read_text().split() == ["bicubic-x4-s0", "full-x4-s0"]
    loaded = results.load("table2", "tiny", None, root=folder)
    assert set(loaded["variant"]) == {"bicubic", "full"}
    assert set(loaded["convention"]) == {"rcan", "float"}
    assert loaded["psnr"].between(5, 60).all()
    assert (folder / "report" / "tiny" / "index.html").stat().st_size > 10_000
    assert "own is embedded-train" in (folder / "report" / "tiny" / "table2.md").read_text()
    assert "tiny/index.html" in (folder / "report" / "index.html").read_text()


def test_finished_work_is_never_repeated(finished: Finished) -> None:
    folder, _ = finished
    files = sorted((folder / "runs").rglob("*.*"))
    before = {path: path.stat().st_mtime_ns for path in files}
    again = run_tiny(folder, "--only", "full")
    assert again.returncode == 0
    assert "full-x4-s0 already finished" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in files} == before


def test_status_tells_finished_from_unfinished(finished: Finished) -> None:
    folder, _ = finished
    shown = spinbench("status", "table2", "--protocol", TINY, "--threads", 1, "--results", folder).stdout
    lines = {line.split("│")[1].strip(): line for line in shown.splitlines() if "│" in line}
    assert "finished" in lines["full-x4-s0"]
    assert "unfinished" in lines["svq-x4-s0"]


def test_weights_of_a_run_can_be_evaluated(finished: Finished, tmp_path: Path) -> None:
    folder, _ = finished
    run = folder / "runs" / "tiny" / "full-x4-s0"
    csv = tmp_path / "rows.csv"
    done = spinbench("evaluate", "spin", "--weights", run, "--data", "embedded-test", "--threads", 1, "--csv", csv)
    assert done.returncode == 0, done.stderr
    stored = (run / "quality.csv").read_text().splitlines()
    assert [line for line in stored if ",float," not in line] == csv.read_text().splitlines()


def test_an_interrupted_run_says_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*arguments: object) -> None:
        raise TrainingStopped("full-x4-s0: stopped after iteration 2 of 4")

    monkeypatch.setattr(orchestrator, "carry_out", stopped)
    done = run_tiny(tmp_path, "--only", "full")
    assert done.returncode == 130
    assert done.stdout.splitlines()[-1] == "full-x4-s0: stopped after iteration 2 of 4"


@pytest.mark.slow
@pytest.mark.usefixtures("without_report")
def test_narrowing_takes_nothing_away(tmp_path: Path) -> None:
    """`--data` after a full run dropped the other sets."""
    images, more = tmp_path / "small", tmp_path / "more"
    for seed, folder in enumerate((images, more)):
        folder.mkdir()
        pixels = np.random.default_rng(seed).integers(0, 255, (128, 128, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "null.png")
    sets = [str(more), str(images)]
    protocol = write_protocol(tmp_path / "mine.yaml", evaluation={"datasets": sets, "conventions": ["rcan"]})
    folder = tmp_path / "results"
    whole = run_tiny(folder, "--only", "full", protocol=protocol)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    run = folder / "runs" / "mine" / "full-x4-s0"
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
    narrowed = run_tiny(folder, "--only", "full", "--data", str(more), protocol=protocol)
    assert "full-x4-s0 already finished" in narrowed.stdout
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == before
    loaded = results.load("table2", "mine", root=folder)
    assert set(loaded.dataset) == {"folder:more", "folder:small"}
    assert "null" in set(loaded.image)
    other = tmp_path / "other"  # the other way round: one set first, then all
    assert run_tiny(other, "--only", "full", "--data", str(images), protocol=protocol).returncode == 0
    assert run_tiny(other, "--only", "full", protocol=protocol).returncode == 0
    assert (other / "runs/mine/full-x4-s0/quality.csv").read_bytes() == before["quality.csv"]


def test_whatever_was_run_is_rendered(tmp_path: Path) -> None:
    """An own experiment, a scale beyond the experiment's; found again by name when its file is gone."""
    text = (ablations.FOLDER / "table2.yaml").read_text().partition("claims:")[0]
    for old, new in (
        ("full:", "mine:"),
        ("reference: full", "reference: mine"),
        (", full]", ", mine]"),
        ("blocks: 8", "blocks: 1"),
    ):
        text = text.replace(old, new)
    mine = tmp_path / "own.yaml"
    mine.write_text(text.replace("Ablation of SPIN", "My own ablation"))
    arguments = ["--protocol", TINY, "--threads", 1, "--results", tmp_path, "--only", "mine", "--scale", 2]
    done = spinbench("run", mine, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "report" / "tiny" / "index.html").read_text()
    assert "My own ablation" in page and ">×2</th>" in page
    assert "1 of 6 variants are measured." in page
    assert set(results.load(str(mine), str(TINY), root=tmp_path).variant) == {"mine", "bicubic"}
    mine.unlink()
    assert set(results.load("own", "tiny", root=tmp_path).scale) == {2}
    rendered = spinbench("report", "--results", tmp_path)
    assert rendered.returncode == 0, rendered.stderr
    assert "My own ablation" in (tmp_path / "report" / "tiny" / "index.html").read_text()


def test_runs_of_another_process_are_elsewhere(finished: Finished, tmp_path: Path) -> None:
    lock = tmp_path / "runs" / "tiny" / ".full-x4-s0.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        done = run_tiny(tmp_path, "--only", "full")
    assert done.returncode == 0, done.stdout
    assert "full-x4-s0 elsewhere" in done.stdout


def test_training_what_is_not_trained_is_refused(tmp_path: Path) -> None:
    done = spinbench(
        "train", "imdn", "--experiment", "table1", "--protocol", TINY, "--results", tmp_path, "--scale", 4
    )  # fmt: skip
    assert done.returncode == 1
    assert "imdn: has published weights" in done.stderr and done.stderr.count("\n") == 1


def test_a_training_can_be_profiled(tmp_path: Path) -> None:
    arguments = ["train", "full", "--protocol", TINY, "--threads", 1, "--results", tmp_path, "--profile"]
    done = spinbench(*arguments)
    assert done.returncode == 0, done.stderr
    for words in ("full-x4-s0: mean of 1 steps", "data", "forward", "backward", "optimiser", "rest", "cores in use"):
        assert words in done.stdout
    assert re.search(r"^data: \d+\.\d\d% of a step, (below|above) the limit of 3%$", done.stdout, re.MULTILINE)
    assert "full-x4-s0: no steps to profile" in spinbench(*arguments).stdout


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.slow
def test_killed_and_started_again_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    content = yaml.safe_load(TINY.read_text())
    content["training"] |= {"iterations": 12, "checkpoint_every": 1, "ema": 0.9, "gradient_clip": 1.0, "lr_patch": 24}
    protocol = tmp_path / "tiny.yaml"
    protocol.write_text(yaml.safe_dump(content))

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run_tiny(whole, "--only", "full", protocol=protocol).returncode == 0
    arguments = ["--protocol", protocol, "--threads", 1, "--results", killed, "--only", "full"]
    process = subprocess.Popen(command("run", "table2", *arguments), cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    checkpoint = killed / "runs" / "tiny" / "full-x4-s0" / "checkpoint.pt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGSTOP)
    assert checkpoint.exists()
    of_it = ("status", "table2", "--protocol", protocol, "--results", killed, "--only", "Full", "--json")
    *_, seen = json.loads(spinbench(*of_it).stdout)
    assert (seen["run"], seen["state"], seen["stage"], seen["steps"]) == ("full-x4-s0", "running", "train", 12)
    assert seen["step"] >= 1 and seen["loss"] > 0 and seen["host"] == platform.node()
    process.send_signal(signal.SIGKILL)
    process.wait()
    *_, seen = json.loads(spinbench(*of_it).stdout)
    assert (seen["state"], seen["stage"], seen["host"]) == ("unfinished", None, None)
    resumed = run_tiny(killed, "--only", "full", protocol=protocol)
    assert resumed.returncode == 0
    assert re.search(r"full-x4-s0: resumes after iteration \d+ of 12", resumed.stdout)
    for file in ("weights.safetensors", "quality.csv"):
        parts = ("runs", "tiny", "full-x4-s0", file)
        assert whole.joinpath(*parts).read_bytes() == killed.joinpath(*parts).read_bytes(), file


def test_a_failing_run_does_not_stop_the_others(tmp_path: Path) -> None:
    blocked = tmp_path / "runs" / "tiny" / "patch-x4-s0"
    blocked.mkdir(parents=True)
    (blocked / "training.csv").mkdir()  # where a file is to be written
    done = run_tiny(tmp_path, "--only", "patch,full")
    assert done.returncode == 1
    assert "patch-x4-s0 failed:" in done.stdout
    assert "full-x4-s0 done" in done.stdout
    assert (tmp_path / "report" / "tiny" / "index.html").is_file()
    assert "IsADirectoryError" in (blocked / "failure.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "tabel2"], "unknown experiment 'tabel2'; did you mean 'table2'"),
        (["run", "table2", "--protocol", "quik"], "unknown protocol 'quik'; did you mean 'quick'"),
        (["run", "table2", "--only", "ful"], "unknown variant 'ful'; did you mean 'full'"),
        (["run", "table2", "--data", "Set55"], "no test set 'Set55'; known: embedded-test"),
        (["run", "table2", "--seeds", "one"], "--seeds one: expected whole numbers"),
        (["run", "table2", "--device", "tpu"], "unknown device 'tpu'"),
        (["evaluate", "spim", "--data", "embedded-test"], "unknown network 'spim'; did you mean 'spin'"),
        (["evaluate", "spin", "--data", "embedded-test", "--config", "blocks"], "--config blocks: expected key=value"),
        (["evaluate", "spin", "--data", "embedded-test", "--weights", "absent.pth"], "absent.pth: no such file"),
        (["evaluate", "bicubic", "--data", "Set6"], "'Set6'"),
        (["cost", "spin", "--config", "bloks=3"], "no configuration 'bloks'; did you mean 'blocks'"),
        (["fetch", "Sett5"], "'Sett5'"),
    ],
)
def test_wrong_arguments_get_one_clear_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    results_option = ["--results", str(tmp_path)] if arguments[0] == "run" else []
    done = spinbench(*arguments, *results_option)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert words in done.stderr


def test_bicubic_and_list() -> None:
    done = spinbench("evaluate", "bicubic", "--data", "embedded-test", "--convention", "rcan,rgb")
    assert done.returncode == 0, done.stderr
    assert "imresize-symmetric" in done.stdout
    listed = spinbench("list").stdout
    for word in ("spin", "table2", "quick", "Set14", "only-ispa"):
        assert word in listed


@pytest.mark.slow
def test_a_report_needs_no_torch(finished: Finished) -> None:
    folder, _ = finished
    code = (
        "import sys; from spinbench.app import app; "
        f"app(['report', '--protocol', {str(TINY)!r}, '--results', {str(folder)!r}], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_dry_run_only_tells(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fetches nothing either, and says of what no training is stored that its length is unknown."""
    monkeypatch.setattr("benchmarks.data.datasets.Dataset.fetch_all", lambda *_: pytest.fail("fetched"))
    shutil.copytree(finished[0] / "runs", tmp_path / "runs")
    before = sorted(tmp_path.rglob("*"))
    told = spinbench("run", "table2", "--only", "full,svq", "--dry-run", "--protocol", TINY, "--results", tmp_path)
    assert told.returncode == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in told.stdout.splitlines() if "│" in line]
    assert ["svq-x4-s0", "train, evaluate, cost", "unknown"] in rows and ["full-x4-s0", "nothing", ""] in rows
    assert "unknown for 1 run, since" in told.stdout
    assert sorted(tmp_path.rglob("*")) == before
