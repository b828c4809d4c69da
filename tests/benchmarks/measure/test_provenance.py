"""What a stage records of the kernels: those that its process computed with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import models
from benchmarks.measure import provenance
from benchmarks.measure.provenance import Process
from models.spin import cpu
from models.spin.cpu import library

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def not_asked_for_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    if cpu.kernels() is None:
        pytest.skip("needs the kernels (a C++ compiler, and SPINBENCH_NATIVE not 0)")
    monkeypatch.setattr(library, "_asked", {})


@torch.no_grad()
def test_kernels_are_recorded_once_they_are_used() -> None:
    x = torch.rand(1, 3, 24, 24)
    models.build("imdn", 2)(x)
    assert Process(CPU).facts()["versions"]["kernels"] == "not used"
    models.build("spin", 2, blocks=1)(x)
    assert Process(CPU).facts()["versions"]["kernels"] == cpu.compiler()


@torch.no_grad()
def test_a_process_that_did_without_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_NATIVE", "0")
    models.build("spin", 2, blocks=1)(torch.rand(1, 3, 24, 24))
    assert Process(CPU).facts()["versions"]["kernels"] == "none"


@pytest.mark.parametrize(
    ("recorded", "flagged"), [("not used", False), ("none", True), ("c++ 0.1", True), (None, False)]
)
def test_records_are_compared_without_compiling(
    recorded: str | None, flagged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    made = Process(CPU).facts()
    made["versions"]["kernels"] = recorded or cpu.compiler()
    assert [flag for flag in provenance.flags({"training": made}) if "kernels" in flag] == (
        [f"training: other kernels ({recorded}, now {cpu.compiler()})"] if flagged else []
    )
    assert cpu.used() is None and not (tmp_path / "kernels").exists()
