"""`torchrun ... -m spinbench train`: one of the processes writes and reports, and all end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from foundation import SpinbenchError
from results import Run
from spinbench.app import app
from tests.spinbench.tiny import write_protocol

CHECKOUT = Path(__file__).parents[2]


def test_torchrun_is_for_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        done = CliRunner().invoke(app, ["list", "networks"])
        if rank == "0":
            assert isinstance(done.exception, SpinbenchError)
            assert "start `spinbench list` without it" in str(done.exception)
        else:
            assert done.exit_code == 0 and not done.output  # one line is enough


@pytest.fixture
def started(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A training by two processes, after its first checkpoint."""
    process = start(tmp_path, 80)
    deadline = time.monotonic() + 120
    while not the_run(tmp_path).path("checkpoint.pt").is_file():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        process.kill()


def start(folder: Path, iterations: int, batch_size: int = 2) -> subprocess.Popen[str]:
    changes = {"batch_size": batch_size, "iterations": iterations, "validation": None}
    protocol = write_protocol(folder / "tiny.yaml", changes)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "spinbench", "train"]
    return subprocess.Popen(
        [*command, "full", "--scale", "2", "--protocol", str(protocol), "--results", str(folder)],
        cwd=CHECKOUT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def the_run(folder: Path) -> Run:
    return Run("tiny", "full", 2, 0, root=folder)


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused_before_any_work(tmp_path: Path) -> None:
    output, errors = start(tmp_path, 4, batch_size=3).communicate(timeout=120)
    assert not output and errors.count("error: ") == 1
    assert "error: 2 processes cannot share a batch_size of 3" in errors
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_stopped_and_resumed_the_bits_are_those_of_an_uninterrupted_training(
    started: subprocess.Popen[str], tmp_path: Path
) -> None:
    started.send_signal(signal.SIGTERM)
    output, _ = started.communicate(timeout=60)
    assert output.count("stopped after iteration") == 1
    (tmp_path / "whole").mkdir()
    for folder in (tmp_path, tmp_path / "whole"):
        process = start(folder, 80)
        output, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        assert output.count("[1/1] full-x2-s0 done") == 1
    stored = [the_run(folder) for folder in (tmp_path, tmp_path / "whole")]
    assert stored[0].path("weights.safetensors").read_bytes() == stored[1].path("weights.safetensors").read_bytes()
    assert stored[0].provenance()["train"]["ranks"] == 2
    assert len(stored[0].provenance()["train"]["earlier"]) == 1 and not stored[0].damage()


@pytest.mark.slow
def test_the_death_of_a_process_ends_the_run(started: subprocess.Popen[str], tmp_path: Path) -> None:
    (victim,) = (one for one in psutil.Process(started.pid).children() if one.environ().get("LOCAL_RANK") == "1")
    victim.kill()
    begun = time.monotonic()
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 1 and time.monotonic() - begun < 20
    line = "full-x2-s0: the other process ended without an error of its own; torchrun says how"
    assert f"error: {line}" in errors and "SIGKILL" in errors
    run = the_run(tmp_path)
    assert line in run.path("failure.txt").read_text() and run.path("checkpoint.pt").is_file()
