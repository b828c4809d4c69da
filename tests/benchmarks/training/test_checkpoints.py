from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import results
from benchmarks.training import checkpoints
from benchmarks.training.checkpoints import CheckpointError

CPU = torch.device("cpu")


def content(fingerprint: str = "0123456789abcdef") -> dict[str, object]:
    return {
        "fingerprint": fingerprint,
        "model": {"weight": torch.arange(64.0)},
        "generators": checkpoints.generators(CPU),
    }


def save(path: Path, content: dict[str, object]) -> None:
    results.write(path, checkpoints.as_bytes(content))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    assert checkpoints.load_checkpoint(path, "0123456789abcdef") is None
    save(path, content())
    loaded = checkpoints.load_checkpoint(path, "0123456789abcdef")
    assert loaded is not None
    assert torch.equal(loaded["model"]["weight"], torch.arange(64.0))


def test_the_file_is_the_old_one_or_the_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint.pt"
    save(path, content())
    before = path.read_bytes()

    def crash(handle: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", crash)
    with pytest.raises(OSError, match="no space"):
        save(path, content() | {"more": torch.ones(10)})
    assert path.read_bytes() == before


def test_generators_go_back_to_where_they_were(tmp_path: Path) -> None:
    def draws() -> list[float]:
        return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), float(torch.rand(()))]  # noqa: NPY002

    checkpoints.seed_generators(3)
    draws()  # leaves half of a pair of normal values behind, which is state too
    path = tmp_path / "checkpoint.pt"
    save(path, content())
    expected = draws()
    checkpoints.seed_generators(4)
    loaded = checkpoints.load_checkpoint(path, "0123456789abcdef")
    assert loaded is not None
    checkpoints.set_generators(loaded["generators"], CPU)
    assert draws() == expected
    checkpoints.seed_generators(3)
    draws()
    assert draws() == expected


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut", b"no archive at all", pickle.dumps({"fingerprint": 1})])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(damage)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.load_checkpoint(path, "0123456789abcdef")
    message = str(caught.value)
    assert message.startswith(f"{path}: damaged checkpoint") and "\n" not in message
    assert path.read_bytes() == damage


def test_no_flipped_or_missing_byte_goes_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save(path, {"fingerprint": "same", "weight": torch.arange(64.0)})
    data = path.read_bytes()
    refused = 0
    for place in range(0, len(data), 3):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            loaded = checkpoints.load_checkpoint(path, "same")
        except CheckpointError:
            refused += 1
        else:  # a byte that means nothing, such as padding
            assert loaded is not None and torch.equal(loaded["weight"], torch.arange(64.0))
    assert refused > 0
    for length in range(0, len(data), 50):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            checkpoints.load_checkpoint(path, "same")


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def test_reading_executes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"fingerprint": "same", "model": Payload()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError):
        checkpoints.load_checkpoint(tmp_path / "checkpoint.pt", "same")
    assert not Path("executed").exists()
    torch.load(tmp_path / "checkpoint.pt", weights_only=False)  # the payload would have worked
    assert Path("executed").exists()


def test_a_foreign_checkpoint_is_refused_and_stays(tmp_path: Path) -> None:
    """Work of hours was renamed, and the training began at step 1, after a change that decides nothing."""
    path = tmp_path / "checkpoint.pt"
    save(path, content("fedcba9876543210"))
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=r"other settings \(fingerprint fedcba98, expected 01234567\)"):
        checkpoints.load_checkpoint(path, "0123456789abcdef")
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"] and path.read_bytes() == before
