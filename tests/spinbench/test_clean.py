"""`spinbench clean`: what it lists, asks about and deletes, and what it never touches."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foundation import cache_folder
from results import Run
from results.activity import Activity, tell
from spinbench.app import app
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import Finished


@pytest.fixture
def folder(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, a stale one, and what killed processes left, beside what is in use."""
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    for module in ("results.leftovers", "spinbench.clean"):
        monkeypatch.setattr(f"{module}.at_work", lambda: False)  # other tests may be at work
    root = tmp_path / "results"
    shutil.copytree(finished[0] / "runs", root / "runs")
    runs = root / "runs" / "tiny"
    shutil.copytree(runs / "full-x4-s0", runs / "stale" / "full-x4-s0")
    own = Activity.of_this_process("train")
    tell(Run("tiny", "svq", 4, 0, root), own)
    tell(Run("tiny", "patch", 4, 0, root), replace(own, born=0.0))
    for path, age in (
        (runs / "full-x4-s0" / ".weights.safetensors.abcd_123", 7200),
        (runs / "svq-x4-s0" / ".checkpoint.pt.abcd_123", 0),
        (runs / "full-x4-s0" / ".notes.mine", 7200),
        (cache_folder() / "decoded" / "a.npy", 0),
        (cache_folder() / "archives" / "DIV2K_train_HR.zip", 7200),
        (cache_folder() / "owner" / "repository" / "tmpabcd_123", 7200),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 5000)
        os.utime(path, (time.time() - age,) * 2)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine.so").write_bytes(b"mine")
    (cache_folder() / "kernels").symlink_to(outside)
    (runs / "stale" / "link-x4-s0").symlink_to(outside)
    return root


GONE = {
    "results/runs/tiny/stale/full-x4-s0", "results/runs/tiny/.patch-x4-s0.now",
    "results/runs/tiny/full-x4-s0/.weights.safetensors.abcd_123", "cache/decoded/a.npy",
    "cache/owner/repository/tmpabcd_123",
}  # fmt: skip


def files(folder: Path) -> set[str]:
    base = folder.parent
    return {path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file() or path.is_symlink()}


def test_it_deletes_what_it_lists_and_nothing_else(folder: Path) -> None:
    before = files(folder)
    done = spinbench("clean", "--results", folder, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert {line.split("  ")[-1] for line in done.stdout.splitlines() if line.startswith("  ")} == {
        str(folder.parent / path) for path in GONE
    }
    assert "deleted: 1 caches, 5.0 KB" in done.stdout
    stale = {path for path in before if path.startswith("results/runs/tiny/stale/full-x4-s0/")}
    assert stale and files(folder) == before - stale - GONE
    assert "there is nothing to delete" in spinbench("clean", "--results", folder).stdout


def test_it_asks_about_each_kind(folder: Path) -> None:
    before = files(folder)
    done = CliRunner().invoke(app, ["clean", "--results", str(folder)], input="n\ny\nn\n")
    assert done.exit_code == 0, done.output
    assert files(folder) == before - {"cache/decoded/a.npy"}
    assert done.output.count("Delete these") == 3


def test_without_an_answer_nothing_is_deleted(folder: Path) -> None:
    before = files(folder)
    done = CliRunner().invoke(app, ["clean", "--results", str(folder)], input="")
    assert done.exit_code == 1 and files(folder) == before


def test_caches_stay_while_another_process_is_at_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("results.leftovers", "spinbench.clean"):
        monkeypatch.setattr(f"{module}.at_work", lambda: True)
    done = spinbench("clean", "--results", folder, "--yes")
    assert done.returncode == 0 and "caches stay: another process of the suite is at work" in done.stdout
    assert "cache/decoded/a.npy" in files(folder)
