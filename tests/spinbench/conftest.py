"""A run that is finished."""

from __future__ import annotations

import json
import os

import pytest
from filelock import FileLock

from tests.spinbench.commands import Done
from tests.spinbench.tiny import Finished, run_tiny


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Its folder, and what the command said. The processes of a session share it, since it takes ten seconds."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, told = shared / "finished", shared / "finished.json"
    with FileLock(shared / "finished.lock"):
        if not told.is_file():
            told.write_text(json.dumps(run_tiny(folder, "--only", "full")))
    return folder, Done(*json.loads(told.read_text()))


@pytest.fixture
def without_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process end without rendering, which takes most of their time, where no page is looked at."""
    monkeypatch.setattr("spinbench.runs.render", lambda protocol, folder: None)
