"""LAPAR-A's dictionary, a file that the project does not own; and the order in which filters are applied."""

from __future__ import annotations

import io
import pickle
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import models
from benchmarks.measure.macs import macs
from models.lapar_a import DICTIONARY, LAPAR, ArrayUnpickler, read_dictionary


class Bomb:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("executed"),))


@pytest.fixture
def no_dictionary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the dictionary would be looked for, and is not."""
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    return tmp_path / DICTIONARY


def network() -> LAPAR:
    torch.manual_seed(0)
    model = models.build("lapar_a", 2).eval()
    assert isinstance(model, LAPAR)
    return model


def test_the_file_is_read(golden_folder: Path, mirror_folder: Path) -> None:
    expected = np.load(golden_folder / "lapar_kernel_72_k5.npy")
    np.testing.assert_array_equal(read_dictionary()[:, 0].astype(np.float32), expected)
    np.testing.assert_array_equal(network().dictionary[:, 0], expected)


def test_the_cache_serves_where_the_mirror_is_no_folder(
    mirror_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / DICTIONARY).parent.mkdir(parents=True)
    shutil.copy(mirror_folder / DICTIONARY, tmp_path / DICTIONARY)
    monkeypatch.setenv("SPINBENCH_MIRROR", "https://example.org/")
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    assert read_dictionary().shape == (72, 1, 5, 5)


@torch.no_grad()
def test_without_the_file_the_network_is_counted_but_does_not_run(no_dictionary: Path) -> None:
    model = network()
    assert sum(p.numel() for p in model.parameters()) == models.describe("lapar_a").counted_parameters[2]
    assert macs(model, (8, 9)).total > 0
    with pytest.raises(models.WeightsError) as caught:
        model(torch.rand(1, 3, 8, 9))
    assert str(no_dictionary) in str(caught.value)
    assert f"this path must hold https://raw.githubusercontent.com/{DICTIONARY}" in str(caught.value)


@torch.no_grad()
def test_a_state_brings_the_dictionary(no_dictionary: Path) -> None:
    names = models.describe("lapar_a").published_names(network())
    state = {names[key]: value.numpy() for key, value in network().state_dict().items()}
    state["decom_conv.weight"] = np.random.default_rng(0).random((72, 1, 5, 5), np.float32)
    model = models.load_published("lapar_a", 2, state)
    other = network()
    other.load_state_dict(model.state_dict())
    x = torch.rand(1, 3, 8, 9)
    assert model(x).isfinite().all()
    assert torch.equal(other(x), model(x))


def test_another_file_is_refused_unread(no_dictionary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    no_dictionary.parent.mkdir(parents=True)
    no_dictionary.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(models.WeightsError, match="SHA-256 is"):
        read_dictionary()
    with pytest.raises(pickle.UnpicklingError, match="no part of a NumPy array"):
        ArrayUnpickler(io.BytesIO(pickle.dumps(Bomb()))).load()
    assert not Path("executed").exists()


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_arrays_of_numpy_1_and_2_are_read(package: bytes) -> None:
    array = np.arange(6.0).reshape(2, 3)
    content = re.sub(rb"numpy\._?core", package, pickle.dumps(array, protocol=3))  # 3 is the published file's
    assert package in content
    np.testing.assert_array_equal(ArrayUnpickler(io.BytesIO(content)).load(), array)


def test_filters_may_be_mixed_first(no_dictionary: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    model = network()
    model.dictionary.copy_(torch.rand(model.dictionary.shape, generator=generator))  # of no symmetry
    image = torch.rand(2, 3, 7, 9, generator=generator)
    coefficients = torch.rand(2, 72, 7, 9, generator=generator)
    padded = F.pad(image, (2, 2, 2, 2), mode="reflect")
    filtered = F.conv2d(padded.flatten(0, 1)[:, None], model.dictionary).unflatten(0, (2, 3))  # (2, 3, 72, 7, 9)
    torch.testing.assert_close(model.assemble(image, coefficients), (filtered * coefficients[:, None]).sum(2))
