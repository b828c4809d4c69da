"""Locks between processes."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from foundation.locks import locked


def test_a_held_lock_is_respected(tmp_path: Path) -> None:
    with locked(tmp_path / "folder" / "lock"), pytest.raises(Timeout), locked(tmp_path / "folder" / "lock", timeout=0):
        pytest.fail("entered twice")
    with locked(tmp_path / "folder" / "lock", timeout=0):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """Nothing is left in the lock's place, which would block the work of the next process for good."""

    def refuse(*_: object) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr("fcntl.flock", refuse)
    with locked(tmp_path / "lock", timeout=0), locked(tmp_path / "lock", timeout=0):
        pass
    assert "has no locks" in caplog.text
    monkeypatch.undo()
    with locked(tmp_path / "lock", timeout=0):
        pass


def test_other_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: FileLock) -> None:
        raise PermissionError(errno.EACCES, "no", str(tmp_path))

    monkeypatch.setattr(FileLock, "_acquire", refuse)
    with pytest.raises(PermissionError), locked(tmp_path / "lock"):
        pass
