"""What all tests share: where the optional shared material lies, and a cache of their own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# The same examples every time; `--hypothesis-profile=default` explores new ones.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("repeatable")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session", autouse=True)
def usual_signals() -> Iterator[None]:
    """A suite that runs in the background may have been started with SIGINT ignored, which processes inherit."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """Golden cases of the published networks; tests that need them are skipped where they are not."""
    folder = SHARED / "golden"
    if not folder.is_dir():
        pytest.skip("needs ../shared/golden (golden cases of the published networks)")
    return folder


@pytest.fixture(scope="session")
def mirror_folder() -> Path:
    """The offline mirror of benchmark images and checkpoints."""
    folder = SHARED / "mirror"
    if not folder.is_dir():
        pytest.skip("needs ../shared/mirror (benchmark images and published checkpoints)")
    return folder


@pytest.fixture(scope="session")
def data_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for this session, but for the kernels, which all sessions and workers share: compiled once."""
    kernels = request.config.cache.mkdir("spinbench") / "kernels"
    kernels.mkdir(mode=0o700, exist_ok=True)
    folder = tmp_path_factory.mktemp("data")
    (folder / "kernels").symlink_to(kernels)
    return folder


@pytest.fixture(autouse=True)
def isolated_data(data_folder: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache, and none reaches the network by accident."""
    monkeypatch.setenv("SPINBENCH_DATA", str(data_folder))
    mirror = SHARED / "mirror"
    monkeypatch.setenv("SPINBENCH_MIRROR", str(mirror if mirror.is_dir() else tmp_path_factory.getbasetemp()))
