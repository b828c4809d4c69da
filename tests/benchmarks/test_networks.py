"""Weights are what they say: a network comes from the run.yaml beside its weights, or from their metadata."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image

import models
from benchmarks import descriptions, networks
from benchmarks.data import datasets
from benchmarks.data.sources import Local
from benchmarks.descriptions import ENTRY
from benchmarks.measure import evaluation
from benchmarks.measure.evaluation import EvaluationError, bicubic_upscale, network_upscale, self_ensemble
from benchmarks.measure.quality import eight_bit
from benchmarks.networks import Network, NetworkError, of_weights
from benchmarks.regression import checks
from models import WeightsError
from spinbench.app import main
from tests.benchmarks.stored_runs import file_of, run_of, run_yaml, state
from tests.spinbench import commands

CPU = torch.device("cpu")
TINY = Path(__file__).parents[1] / "tiny.yaml"
PARALLEL = {"blocks": 1, "arrangement": "parallel"}
ANY_SCALE = ["carn", "carn_m", "srcnn", "fsrcnn", "vdsr"]  # their tensors are the same at each scale

Spinbench = Callable[..., tuple[int, str, str]]


@pytest.fixture
def spinbench() -> Spinbench:
    return commands.spinbench


def refused(outcome: tuple[int, str, str]) -> str:
    """The one line of an error."""
    code, _, err = outcome
    assert code == 1
    assert err.startswith("error: ")
    assert len(err.splitlines()) == 1
    return err


def lr_image(height: int = 30, width: int = 27) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(network: Network, expected: dict[str, torch.Tensor]) -> None:
    own = network.module().state_dict()
    assert set(own) == set(expected)
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.items())


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


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG", "run.yaml: cannot be used .not valid YAML"),
        (b"stages: [", "run.yaml: cannot be used .not valid YAML"),
        (b"- 1\n", "run.yaml: cannot be used .expected a mapping, found list"),
        (b"protocol: quick\n", "run.yaml: cannot be used .stages: expected a mapping"),
        (b"format: 2\nhash: abc\nstages: {}\n", "run.yaml: cannot be used .damaged or edited"),
        (b"stages: {train: {seed: 0}}\n", "run.yaml: not the description of a run"),
        (b"stages: {train: {model: srcnn, scale: large}}\n", "run.yaml: not the description of a run .scale: Input"),
        (b"stages: {train: {model: srcnn, scale: 4, config: {a: 1}}}\n", "run.yaml: srcnn has no configuration 'a'"),
        (b"stages: {train: {model: srcmn, scale: 4}}\n", "run.yaml: unknown network 'srcmn'; did you mean 'srcnn'"),
        (b"source: stolen\nstages: {train: {model: srcnn, scale: 4}}\n", "run.yaml: not the .* .source: Input should"),
    ],
)
def test_a_damaged_run_yaml_is_one_line(spinbench: Spinbench, tmp_path: Path, content: bytes, reason: str) -> None:
    run = run_of(tmp_path / "run", "srcnn", 4)
    (run / "run.yaml").write_bytes(content)
    error = refused(spinbench("evaluate", "srcnn", "--data", "embedded-test", "--weights", run))
    assert re.search(reason, error)


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


# The commands


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of an experiment of one's own, and the folder of their results."""
    folder = tmp_path_factory.mktemp("trained")
    variants = {
        "deep": {"label": "Deep", "model": "spin", "config": PARALLEL, "ensemble": True},
        "plain": {"label": "Plain", "model": "srcnn"},
    }
    experiment = {
        "title": "own", "source": "own", "kind": "table", "caption": "own", "label": "tab:own", "scales": [3],
        "datasets": ["embedded-test"], "reference": "plain", "variants": variants,
    }  # fmt: skip
    (folder / "own.yaml").write_text(yaml.safe_dump(experiment))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv",
            ["spinbench", "run", str(folder / "own.yaml"), "--protocol", str(TINY), "--threads", "1", "--device", "cpu",
             "--results", str(folder)],
        )  # fmt: skip
        threads = torch.get_num_threads()
        with pytest.raises(SystemExit) as stop:
            main()
        torch.set_num_threads(threads)
    assert not stop.value.code
    return folder


@pytest.mark.parametrize(("variant", "model", "name"), [("deep", "spin", "spin"), ("plain", "srcnn", "plain")])
def test_evaluating_a_run_gives_its_own_quality(
    spinbench: Spinbench, trained: Path, tmp_path: Path, variant: str, model: str, name: str
) -> None:
    run, csv = trained / "runs" / "tiny" / f"{variant}-x3-s0", tmp_path / "rows.csv"
    arguments = ["--data", "embedded-test", "--threads", 1, "--device", "cpu", "--csv", csv]
    code, out, err = spinbench("evaluate", name, "--weights", run, *arguments)
    assert code == 0, err
    stored = pd.read_csv(run / "quality.csv")
    stored = stored[stored["convention"] == "rcan"].reset_index(drop=True)
    pd.testing.assert_frame_equal(pd.read_csv(csv), stored)
    assert f"{model}{'+' if variant == 'deep' else ''} x3" in out
    assert ("(blocks 1, arrangement parallel)" in out) == (variant == "deep")
    error = refused(spinbench("evaluate", model, "--weights", run, "--scale", 2, *arguments))
    assert f"{run}: requested x2, but {run / 'run.yaml'} says x3" in error


def test_a_run_of_another_depth_is_exported_and_comes_back(spinbench: Spinbench, trained: Path, tmp_path: Path) -> None:
    run, output = trained / "runs" / "tiny" / "deep-x3-s0", tmp_path / "deep.pth"
    code, out, err = spinbench("export-published", run, output)
    assert code == 0, err
    assert "tensors of spin+ x3 (blocks 1, arrangement parallel)" in out
    same(of_weights(output, model="spin", scale=3, config=PARALLEL), of_weights(run).module().state_dict())
    error = refused(spinbench("export-published", run, tmp_path / "other.pth", "--model", "imdn"))
    assert "requested imdn, but" in error
    error = refused(spinbench("export-published", output, tmp_path / "other.pth"))
    assert f"{output}: does not name its network" in error
    assert not (tmp_path / "other.pth").exists()


def test_upscaling_with_a_run_is_as_it_was_measured(spinbench: Spinbench, trained: Path, tmp_path: Path) -> None:
    run, picture = trained / "runs" / "tiny" / "deep-x3-s0", tmp_path / "a.png"
    Image.fromarray(lr_image()).save(picture)
    arguments = [picture, "--weights", run, "--output", tmp_path / "out", "--device", "cpu"]
    assert "requested imdn, but" in refused(spinbench("upscale", *arguments, "--model", "imdn"))
    assert "requested blocks 4, but" in refused(spinbench("upscale", *arguments, "--config", "blocks=4"))
    assert not (tmp_path / "out").exists()
    code, out, err = spinbench("upscale", *arguments)
    assert code == 0, err
    assert f"spin+ x3 (blocks 1, arrangement parallel), {run}" in out
    with Image.open(tmp_path / "out" / "a.png") as image:
        found = np.array(image)
    network = models.build("spin", 3, **PARALLEL)
    network.load_state_dict(safetensors.torch.load_file(run / "weights.safetensors"))
    assert np.array_equal(found, eight_bit(self_ensemble(network_upscale(network, CPU))(lr_image())))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["imdn"], "imdn: expected --weights or --published, or --untrained for random weights"),
        (["imdm"], "unknown network 'imdm'; did you mean 'imdn'"),
        (["imdn", "--published", "--untrained"], "--published and --untrained: expected one of them"),
        (["imdn", "--untrained", "--weights", "x"], "--weights and --untrained: expected one of them"),
        (
            ["spin", "--published", "--config", "blocks=4"],
            "requested blocks 4, but its published checkpoint says blocks",
        ),
        (["spin", "--untrained", "--config", "blocks=1", "--config", "blocks=2"], "blocks is given twice"),
        (["spin", "--untrained", "--config", "blocks=["], "--config blocks=[: not valid YAML"),
        (["bicubic", "--weights", "x"], "bicubic: interpolation takes no --weights"),
        (["bicubic", "--published"], "bicubic: interpolation takes no --published"),
        (["bicubic", "--untrained", "--config", "a=1"], "bicubic: interpolation takes no --untrained and no --config"),
        (["bicubic", "--tile", "64"], "bicubic: interpolation takes no --tile"),
        (["bicubic", "--convention", "rcam"], "--convention: unknown convention 'rcam'"),
        (["bicubic", "--data", "embedded-test"], "embedded-test: it is named twice, expected each set once"),
    ],
)
def test_nothing_asked_for_is_dropped(spinbench: Spinbench, arguments: list[str], words: str) -> None:
    assert words in refused(spinbench("evaluate", *arguments, "--data", "embedded-test"))


def test_upscaling_needs_weights_too(spinbench: Spinbench, tmp_path: Path) -> None:
    picture, output = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(lr_image()).save(picture)
    error = refused(spinbench("upscale", picture, "--model", "espcn", "--output", output))
    assert "espcn: expected --weights or --published" in error
    assert "no --model: expected one, or --weights" in refused(spinbench("upscale", picture, "--output", output))
    code, out, err = spinbench("upscale", picture, "--model", "espcn", "--untrained", "--output", output)
    assert code == 0, err
    assert "espcn x4, untrained, seed 0" in out
    assert (output / "a.png").is_file()


def test_untrained_is_insisted_on_and_said(spinbench: Spinbench, tmp_path: Path) -> None:
    arguments = ["evaluate", "espcn", "--untrained", "--data", "embedded-test", "--scale", 2, "--device", "cpu"]
    code, out, err = spinbench(*arguments, "--csv", tmp_path / "rows.csv")
    assert code == 0, err
    assert "espcn x2, untrained, seed 0" in out
    assert any(line.strip() == "espcn x2, untrained" for line in out.splitlines())  # the title of the table
    torch.manual_seed(0)
    upscale = network_upscale(models.build("espcn", 2), CPU)
    expected = evaluation.evaluate(upscale, datasets.get("embedded-test"), 2)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "rows.csv"), expected, check_exact=False, rtol=1e-9)


def test_missing_images_are_said(spinbench: Spinbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.Dataset, "missing", lambda self, scale: ["coffee"])
    code, out, err = spinbench("evaluate", "bicubic", "--data", "embedded-test", "--convention", "rcan,rgb,rcan")
    assert code == 0, err
    rows = [line for line in out.splitlines() if "embedded-test" in line and "│" in line]
    assert len(rows) == 2  # a row per convention
    assert all("1 of 2" in row for row in rows)
    assert out.splitlines().count("embedded-test: 1 of 2 images are missing: coffee") == 1
    with pytest.raises(EvaluationError, match="embedded-test x4: 1 of 2 images are missing: coffee"):
        checks.measured(networks.bicubic(), ["embedded-test"], CPU, lambda part: lambda done, total, note: None)


def test_images_that_no_mean_holds_are_said(spinbench: Spinbench, tmp_path: Path) -> None:
    Image.fromarray(np.full((60, 60, 3), 90, np.uint8)).save(tmp_path / "flat.png")  # bicubic gives it back
    Image.fromarray(lr_image(60, 60)).save(tmp_path / "noise.png")
    code, out, err = spinbench("evaluate", "bicubic", "--data", tmp_path)
    assert code == 0, err
    assert f"folder:{tmp_path.name}, rcan: 1 of 2 images equal HR (infinite PSNR) and are left out of its mean" in out


def test_a_folder_by_two_names_is_measured_once(spinbench: Spinbench, tmp_path: Path) -> None:
    for folder in ("a", "other/a"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(lr_image(60, 60)).save(tmp_path / folder / "noise.png")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for again in (f"{tmp_path}/a/", f"{tmp_path}/./a", f"{tmp_path}/link", f"{tmp_path}/other/a"):
        error = refused(spinbench("evaluate", "bicubic", "--data", tmp_path / "a", "--data", again))
        assert f"{again}: {tmp_path / 'a'} is folder:a too, expected each set once" in error
