"""Weights are what they say: a network comes from the run.yaml beside its weights, or from their metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml

import models
from benchmarks import descriptions, networks
from benchmarks.data import datasets
from benchmarks.data.sources import Local
from benchmarks.descriptions import ENTRY
from benchmarks.measure import evaluation
from benchmarks.measure.evaluation import bicubic_upscale, network_upscale, self_ensemble
from benchmarks.networks import Network, NetworkError, of_weights
from models import WeightsError
from tests.benchmarks.described import CPU, PARALLEL, lr_image, same
from tests.benchmarks.stored_runs import file_of, run_of, run_yaml, state

ANY_SCALE = ["carn", "carn_m", "srcnn", "fsrcnn", "vdsr"]  # their tensors are the same at each scale


# What is written of weights


@pytest.mark.parametrize("file", ["", "weights.safetensors"])
def test_a_run_says_what_it_is(tmp_path: Path, file: str) -> None:
    run = run_of(tmp_path / "run", "spin", 3, PARALLEL, ensemble=True, multiple=2)
    network = of_weights(run / file)
    assert (network.model, network.scale, network.ensemble, network.multiple) == ("spin", 3, True, 2)
    assert network.config == models.configuration("spin", **PARALLEL)
    assert network.weights == Local(run / "weights.safetensors")
    assert network.summary == (
        f"spin+ x3 (blocks 1, arrangement parallel), {run / file}, LR cropped to a multiple of 2"
    )
    same(network, state("spin", 3, **PARALLEL))


@pytest.mark.parametrize("model", ANY_SCALE)
@pytest.mark.parametrize("kind", ["run", "file"])
def test_every_scale_fits_these_and_one_is_right(tmp_path: Path, model: str, kind: str) -> None:
    weights = run_of(tmp_path / "run", model, 3) if kind == "run" else file_of(tmp_path / "a.safetensors", model, 3)
    same(Network(model, 2, weights=Local(descriptions.file_of(weights))), state(model, 3))  # as said: all tensors fit
    assert of_weights(weights).scale == of_weights(weights, model=model, scale=3).scale == 3
    with pytest.raises(NetworkError, match=r"requested x2, but .*(run\.yaml|a\.safetensors) says x3"):
        of_weights(weights, model=model, scale=2)


def test_a_file_that_was_copied_away_says_what_it_is(tmp_path: Path) -> None:
    file = file_of(tmp_path / "copy.safetensors", "spin", 2, PARALLEL, ensemble=True, multiple=3)
    network = of_weights(file)
    assert (network.model, network.scale, network.ensemble, network.multiple) == ("spin", 2, True, 3)
    assert network.config == models.configuration("spin", **PARALLEL)
    assert network.training == "f" * 64
    assert network.source == f"{file} (run quick/mine-x2-s3)"
    same(network, state("spin", 2, **PARALLEL))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_that_says_nothing_is_what_the_user_says(tmp_path: Path, suffix: str) -> None:
    file, tensors = tmp_path / f"other.{suffix}", state("spin", 2, **PARALLEL)
    if suffix == "pth":
        torch.save(tensors, file)
    else:
        safetensors.torch.save_file(tensors, file, {"fingerprint": "f" * 64})  # as older versions wrote it
    assert networks.description_of(file) is None
    with pytest.raises(NetworkError, match=rf"other\.{suffix}: does not name its network"):
        of_weights(file)
    network = of_weights(file, model="spin", scale=2, config=PARALLEL)
    same(network, tensors)
    assert network.source == str(file)
    assert of_weights(file, model="spin", config=PARALLEL).scale == networks.SCALE
    with pytest.raises(NetworkError, match="unknown network 'spim'; did you mean 'spin'"):
        of_weights(file, model="spim")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"model": "imdn"}, r"run: requested imdn, but .*run\.yaml says spin \(variant mine\)"),
        ({"model": "spin", "scale": 2}, r"run: requested x2, but .*run\.yaml says x3"),
        ({"config": {"blocks": 2}}, r"run: requested blocks 2, but .*run\.yaml says blocks 1"),
        (
            {"config": models.configuration("spin", blocks=1, spca=False)},
            "requested spca False, arrangement sequential, but .* says spca True, arrangement parallel",
        ),
        ({"config": {"bloks": 1}}, "spin has no configuration 'bloks'; did you mean 'blocks'"),
    ],
)
def test_what_contradicts_a_run_is_refused(tmp_path: Path, said: dict[str, Any], message: str) -> None:
    run = run_of(tmp_path / "run", "spin", 3, PARALLEL)
    with pytest.raises(NetworkError, match=message):
        of_weights(run, **said)


@pytest.mark.parametrize(
    "said",
    [
        {"model": "spin"},
        {"model": "mine", "scale": 3},  # its variant
        {"config": {"blocks": 1}},
        {"config": models.configuration("spin", **PARALLEL)},
    ],
)
def test_what_agrees_with_a_run_changes_nothing(tmp_path: Path, said: dict[str, Any]) -> None:
    run = run_of(tmp_path / "run", "spin", 3, PARALLEL)
    assert of_weights(run, **said) == of_weights(run)


def test_another_network_s_weights_in_the_folder_of_a_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "carn", 4)
    file_of(run / "weights.safetensors", "carn", 2)
    with pytest.raises(NetworkError, match=r"weights\.safetensors: its own metadata say x2, but .*run\.yaml says x4"):
        of_weights(run)
    file_of(run / "other.safetensors", "carn", 2)  # what lies there besides is not described by run.yaml
    assert of_weights(run / "other.safetensors").scale == 2


@pytest.mark.parametrize("said", ["{", "[1]", '{"model": "srcnn"}', '{"model": 1, "scale": 4}'])
def test_damaged_metadata_are_one_line(tmp_path: Path, said: str) -> None:
    file = tmp_path / "a.safetensors"
    safetensors.torch.save_file(state("srcnn", 4), file, {ENTRY: said})
    with pytest.raises(NetworkError, match=r"^.*a\.safetensors: its metadata do not describe a network \(.*\)$"):
        of_weights(file, model="srcnn")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match=r"a\.safetensors: not a readable checkpoint"):
        of_weights(file, model="srcnn")


def test_weights_that_are_not_there(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "srcnn", 4)
    (run / "weights.safetensors").unlink()
    for weights in (run, run / "weights.safetensors", tmp_path / "absent.pth"):
        with pytest.raises(NetworkError, match=r"(run/weights\.safetensors|absent\.pth): no such file"):
            of_weights(weights, model="srcnn")


def test_runs_without_weights_of_their_own(tmp_path: Path, mirror_folder: Path) -> None:
    """Those of published weights are measured as an ensemble, of LR of a multiple, where their run was."""
    (tmp_path / "published").mkdir()
    content = run_yaml("imdn", 2, {}, source="published weights", ensemble=True)
    content["stages"]["evaluate"]["multiple"] = 3
    (tmp_path / "published" / "run.yaml").write_text(yaml.safe_dump(content))
    network = of_weights(tmp_path / "published", model="imdn")
    expected = networks.published("imdn", 2)
    assert (network.scale, network.ensemble, network.multiple) == (2, True, 3)
    assert network.weights == expected.weights
    same(network, expected.module().state_dict())

    (tmp_path / "bicubic").mkdir()
    stages = {"evaluate": {"model": "bicubic", "scale": 3}}
    (tmp_path / "bicubic" / "run.yaml").write_text(yaml.safe_dump({"source": "baseline", "stages": stages}))
    network = of_weights(tmp_path / "bicubic")
    assert np.array_equal(network.upscaler(CPU)(lr_image()), bicubic_upscale(3)(lr_image()))
    with pytest.raises(NetworkError, match=r"requested spin, but .*run\.yaml says bicubic"):
        of_weights(tmp_path / "bicubic", model="spin")
    with pytest.raises(NetworkError, match="bicubic: interpolation, expected a network"):
        network.module()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("espcn", 4), "espcn x4: no published checkpoint is registered"),
        (("imdn", 4), r"imdn x4: its checkpoint is not in the mirror \(IMDN_x4.pth\)"),
        (("spin", 4, {"blocks": 2}), "spin x4: requested blocks 2, but its published checkpoint says blocks 8"),
        (("spim", 4), "unknown network 'spim'"),
    ],
)
def test_published_weights_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...], message: str
) -> None:
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    with pytest.raises(NetworkError, match=message):
        networks.published(*arguments)


# How a network upscales


def test_an_upscaler_is_ensemble_and_crop_of_one_network() -> None:
    network, lr = Network("espcn", 2, ensemble=True, multiple=4, seed=1), lr_image()
    torch.manual_seed(1)
    expected = self_ensemble(network_upscale(models.build("espcn", 2), CPU))(lr[:28, :24])
    assert np.array_equal(network.upscaler(CPU)(lr), expected)
    whole = Network("espcn", 2, seed=1)
    tiled = whole.upscaler(CPU, tile=16)(lr)
    np.testing.assert_allclose(tiled, whole.upscaler(CPU)(lr), atol=1e-5)
    assert np.array_equal(networks.bicubic(2).upscaler(CPU)(lr), bicubic_upscale(2)(lr))


def test_evaluation_crops_hr_with_the_network() -> None:
    dataset, network = datasets.get("embedded-test"), Network("bicubic", 2, multiple=7)
    rows = evaluation.evaluate(network.upscaler(CPU), dataset, 2, multiple=network.multiple)
    pair = dataset.pair("chelsea", 2)
    height, width = (side // 7 * 7 for side in pair.lr.shape[:2])
    assert (height, width) != pair.lr.shape[:2]
    sr = bicubic_upscale(2)(pair.lr[:height, :width])
    expected = evaluation.scores(sr, pair.hr[: 2 * height, : 2 * width], 2)
    assert (rows.psnr[0], rows.ssim[0]) == expected


def test_initial_weights_are_those_of_the_seed() -> None:
    torch.manual_seed(9)
    expected = models.build("espcn", 2).state_dict()
    before = torch.get_rng_state()
    same(networks.untrained("espcn", 2, seed=9), expected)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(NetworkError, match="espcn: scale must be one of 2, 3, 4, not 7"):
        networks.untrained("espcn", 7).module()


def test_bicubic_by_any_spelling() -> None:
    for name in ("bicubic", "Bicubic"):
        found = networks.load(name, scale=2)
        assert (found.model, found.scale) == ("bicubic", 2)
