"""Commands on weights: they are what they say, and nothing that is asked for is dropped."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

import models
from benchmarks import networks
from benchmarks.data import datasets
from benchmarks.measure import evaluation
from benchmarks.measure.evaluation import EvaluationError, network_upscale, self_ensemble
from benchmarks.measure.quality import eight_bit
from benchmarks.networks import of_weights
from benchmarks.regression import checks
from spinbench.app import main
from tests.benchmarks.described import CPU, PARALLEL, lr_image, same
from tests.benchmarks.stored_runs import run_of
from tests.spinbench import commands

TINY = Path(__file__).parents[1] / "tiny.yaml"
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
        (["bicubic", "--data", "embedded-test"], "duplicate 'embedded-test', expected each set once"),
    ],
)
def test_nothing_asked_for_is_dropped(spinbench: Spinbench, arguments: list[str], words: str) -> None:
    assert words in refused(spinbench("evaluate", *arguments, "--data", "embedded-test"))


def test_upscaling_needs_weights_too(spinbench: Spinbench, tmp_path: Path) -> None:
    picture, output = tmp_path / "a.png", tmp_path / "out"
    Image.fromarray(lr_image()).save(picture)
    error = refused(spinbench("upscale", picture, "--model", "espcn", "--output", output))
    assert "espcn: expected --weights or --published" in error
    without_model = refused(spinbench("upscale", picture, "--published", "--output", output))
    assert "no --model: expected one, or --weights" in without_model
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
    (tmp_path / "a").mkdir(parents=True)
    Image.fromarray(lr_image(60, 60)).save(tmp_path / "a" / "noise.png")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for again in (f"{tmp_path}/a/", f"{tmp_path}/./a", f"{tmp_path}/link"):
        error = refused(spinbench("evaluate", "bicubic", "--data", tmp_path / "a", "--data", again))
        assert f"duplicate '{tmp_path / 'a'}', expected each set once" in error
