"""`spinbench tensorboard`: event files of trainings, brought up to date."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import Finished

CSV = """iteration,loss,learning_rate,seconds,psnr,ssim
2,30.5,0.001,1.5,,
4,20.25,0.0005,3.0,25.5,0.75
"""


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_events_are_the_rows_of_training_csv_and_follow_them(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    run, out = tmp_path / "runs" / "mine" / "full-x4-s0", tmp_path / "out"
    run.mkdir(parents=True)
    (run / "training.csv").write_text(CSV)
    done = spinbench("tensorboard", out, "--results", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine/full-x4-s0: 2 points" in done.stdout
    folder = out / "mine" / "full-x4-s0"
    assert scalars(folder) == {
        "training/loss": [(2, 30.5), (4, 20.25)],
        "training/learning rate": [(2, pytest.approx(0.001)), (4, pytest.approx(0.0005))],
        "validation/PSNR (dB)": [(4, 25.5)],
        "validation/SSIM": [(4, 0.75)],
    }
    (events,) = folder.glob("events.*")
    spinbench("tensorboard", out, "--results", tmp_path)
    assert list(folder.glob("events.*")) == [events]  # nothing has changed
    (folder / "events.of.mine").write_bytes(b"")
    (run / "training.csv").write_text(f"{CSV}6,10.0,0.0001,4.5,,\n")
    assert "3 points" in spinbench("tensorboard", out, "--results", tmp_path).stdout
    assert not events.exists() and (folder / "events.of.mine").exists()
    (folder / "events.of.mine").unlink()
    assert scalars(folder)["training/loss"] == [(2, 30.5), (4, 20.25), (6, 10.0)]


def test_what_a_training_wrote_can_be_shown(finished: Finished, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    folder, _ = finished
    shutil.copytree(folder / "runs", tmp_path / "runs")
    assert spinbench("tensorboard", tmp_path / "out", "--results", tmp_path).returncode == 0
    rows = pd.read_csv(folder / "runs" / "tiny" / "full-x4-s0" / "training.csv")
    (loss,) = (values for tag, values in scalars(tmp_path / "out/tiny/full-x4-s0").items() if tag == "training/loss")
    assert loss == [(step, pytest.approx(value)) for step, value in zip(rows.iteration, rows.loss, strict=True)]


def test_what_is_missing_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "runs").mkdir()
    done = spinbench("tensorboard", tmp_path / "out", "--results", tmp_path)
    assert done.stderr == f"error: {tmp_path / 'runs'}: no run has a training.csv, expected a training\n"
    monkeypatch.delitem(sys.modules, "spinbench.events", raising=False)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    done = spinbench("tensorboard", tmp_path / "out", "--results", tmp_path)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert 'is missing, expected the extra: pip install "spin-bench[tensorboard]"' in done.stderr
