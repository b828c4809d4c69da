"""Where downloads and what is made from them lie: also without a home, and beside a cache that a lab shares."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from foundation import SpinbenchError, cache_folder, own_folder


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No HOME and no entry in passwd, as in `docker run --user`; returns the folder of temporary files."""

    def unknown(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    for name in ("HOME", "XDG_CACHE_HOME", "SPINBENCH_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def read_only(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Nobody but root, who runs many tests, is refused by permissions alone."""
    access: Callable[..., bool] = os.access

    def asked(path: Path, mode: int) -> bool:
        return access(path, mode) and not (mode & os.W_OK and any(Path(path).is_relative_to(one) for one in folders))

    monkeypatch.setattr(os, "access", asked)


def test_without_a_home_the_cache_is_a_private_temporary_folder(nobody: Path) -> None:
    folder = cache_folder()
    assert folder == own_folder("kernels").parent == nobody / f"spin-bench-{os.geteuid()}"
    assert folder.stat().st_mode & 0o777 == 0o700 and folder.stat().st_uid == os.geteuid()


@pytest.mark.parametrize("home", ["/", "/nonexistent"])
def test_a_home_that_cannot_be_written_is_none(home: str, nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker sets HOME=/ for a user that it does not know."""
    monkeypatch.setenv("HOME", home)
    read_only(monkeypatch, Path("/.cache"), Path("/"))
    assert cache_folder().parent == nobody


def test_a_private_folder_that_somebody_else_prepared_is_refused(nobody: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (nobody / f"spin-bench-{os.geteuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to somebody else; set SPINBENCH_DATA"):
        cache_folder()


def test_a_tilde_without_a_home_is_one_line(nobody: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", "~/data")
    with pytest.raises(SpinbenchError, match=r"SPINBENCH_DATA=~/data: there is no home directory"):
        cache_folder()


def test_what_is_made_lies_beside_a_read_only_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "lab"
    shared.mkdir()
    monkeypatch.setenv("SPINBENCH_DATA", str(shared))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert cache_folder() == own_folder("kernels").parent == shared
    read_only(monkeypatch, shared)
    assert cache_folder() == shared and own_folder("kernels").parent == tmp_path / "home" / "spin-bench"
    read_only(monkeypatch, tmp_path / "home", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert own_folder("kernels").parent.parent == tmp_path / "temporary"


def test_a_cache_in_a_folder_that_does_not_exist_yet_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "a" / "b"))
    assert own_folder("kernels").parent == tmp_path / "a" / "b"
