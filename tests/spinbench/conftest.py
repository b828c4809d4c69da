"""A run that is finished."""

from __future__ import annotations

import pytest

from tests.spinbench.tiny import Finished, run_tiny


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("results")
    return folder, run_tiny(folder, "--only", "full")


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process end without rendering, which takes most of their time, where no page is looked at."""
    monkeypatch.setattr("spinbench.runs.render", lambda protocol, folder: None)
