"""Kernels that are one function, so that compiling them takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.spin.cpu import library, signatures


def use_one_function(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the kernels be `answer`, which returns 42, and nothing of them be compiled yet. Returns the cache folder."""
    (folder / "sources").mkdir()
    (folder / "sources" / "answer.cpp").write_text('extern "C" int answer() { return 42; }\n')
    monkeypatch.setattr(library, "_HERE", folder / "sources")
    monkeypatch.setattr(library, "_asked", {})
    monkeypatch.setattr(signatures, "PARAMETERS", {})
    monkeypatch.setenv("SPINBENCH_DATA", str(folder / "data"))
    return folder / "data"
