"""The command line as a user meets it: whole runs, resumption after kill -9, and errors in one line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import results

TINY = Path(__file__).parents[1] / "tiny.yaml"
CHECKOUT = Path(__file__).parents[2]

Done = subprocess.CompletedProcess[str]
Finished = tuple[Path, Done]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "benchmarks.cli", *map(str, arguments)]


def spinbench(*arguments: object) -> Done:
    return subprocess.run(command(*arguments), cwd=CHECKOUT, capture_output=True, text=True, timeout=300)


def run_tiny(folder: Path, *arguments: object, protocol: Path = TINY) -> Done:
    return spinbench("run", "table2", "--protocol", protocol, "--threads", 1, "--results", folder, *arguments)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("results")
    return folder, run_tiny(folder, "--only", "full")


def test_a_run_leaves_everything(finished: Finished) -> None:
    folder, done = finished
    assert done.returncode == 0, done.stderr
    run = folder / "runs" / "tiny" / "full-x4-s0"
    assert {path.name for path in run.iterdir()} == {
        "measured",
        "run.yaml", "provenance.json", "training.csv", "quality.csv", "cost.json", "weights.safetensors",
    }  # fmt: skip
    loaded = results.load("table2", "tiny", folder)
    assert set(loaded["variant"]) == {"bicubic", "full"}
    assert set(loaded["convention"]) == {"rcan", "float"}
    assert loaded["psnr"].between(5, 60).all()
    assert (folder / "report" / "index.html").stat().st_size > 10_000


def test_finished_work_is_never_repeated(finished: Finished) -> None:
    folder, _ = finished
    files = sorted((folder / "runs").rglob("*.*"))
    before = [path.stat().st_mtime_ns for path in files]
    again = run_tiny(folder, "--only", "full")
    assert again.returncode == 0
    assert "full-x4-s0 already finished" in again.stdout
    assert [path.stat().st_mtime_ns for path in files] == before


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


def test_a_changed_protocol_keeps_the_old_run(finished: Finished, tmp_path: Path) -> None:
    folder, _ = finished
    content = yaml.safe_load(TINY.read_text())
    content["training"]["iterations"] = 5
    changed = tmp_path / "tiny.yaml"
    changed.write_text(yaml.safe_dump(content))
    weights = (folder / "runs" / "tiny" / "full-x4-s0" / "weights.safetensors").read_bytes()
    done = run_tiny(folder, "--only", "full", protocol=changed)
    assert done.returncode == 0, done.stderr
    assert "training.iterations: 4 -> 5" in done.stdout
    (kept,) = (folder / "runs" / "tiny" / "stale").iterdir()
    assert (kept / "weights.safetensors").read_bytes() == weights


def test_a_training_can_be_profiled(tmp_path: Path) -> None:
    arguments = ["train", "full", "--protocol", TINY, "--threads", 1, "--results", tmp_path, "--profile"]
    done = spinbench(*arguments)
    assert done.returncode == 0, done.stderr
    for words in ("full-x4-s0: mean of 1 steps", "data", "forward", "backward", "optimiser", "rest", "cores busy"):
        assert words in done.stdout
    assert re.search(r"^data: \d+\.\d\d% of a step, (below|above) the limit of 3%$", done.stdout, re.MULTILINE)
    assert "full-x4-s0: no steps to profile" in spinbench(*arguments).stdout


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
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
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    assert run_tiny(killed, "--only", "full", protocol=protocol).returncode == 0
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
    assert (tmp_path / "report" / "index.html").is_file()


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


def test_a_report_needs_no_torch(finished: Finished) -> None:
    folder, _ = finished
    code = (
        "import sys; from benchmarks.cli import app; "
        f"app(['report', '--protocol', {str(TINY)!r}, '--results', {str(folder)!r}], standalone_mode=False); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
