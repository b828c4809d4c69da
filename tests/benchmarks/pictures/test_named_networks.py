"""Whose weights a network of a picture has, by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch

import models
from benchmarks.data.sources import Local
from benchmarks.networks import NetworkError
from benchmarks.pictures.named import PictureError, common_scale, named_network
from tests.benchmarks.pictures.noise import SCALE, trained
from tests.benchmarks.stored_runs import run_of


def test_weights_of_runs(tmp_path: Path) -> None:
    run = trained(tmp_path, "quick")
    one = named_network("full", SCALE, "table2", "quick", tmp_path)
    assert (one.model, one.source) == ("spin", "run quick/full-x4-s0")
    assert one.weights == Local(run.path("weights.safetensors"))
    assert "protocol" not in one.label
    state = safetensors.torch.load_file(run.path("weights.safetensors"))
    for name, tensor in one.module().state_dict().items():
        assert torch.equal(tensor, state[name])
    # where nothing is trained, those of another protocol stand in under its name
    one = named_network("full", SCALE, "table1", "published", tmp_path)
    assert (one.label, one.source) == ("SPIN (protocol quick)", "run quick/full-x4-s0")
    with pytest.raises(PictureError, match=r"full x4: no trained weights, expected .*runs/cpu/full-x4-s0/weights"):
        named_network("full", SCALE, "table2", "cpu", tmp_path)
    with pytest.raises(PictureError, match="full x2: no trained weights"):
        named_network("full", 2, "table2", "quick", tmp_path)


def test_published_weights_and_named_files(tmp_path: Path, mirror_folder: Path) -> None:
    one = named_network("imdn", SCALE, "table1", "published", tmp_path)
    assert (one.label, one.source) == ("IMDN", "published weights")
    assert named_network("hpinet_m", SCALE, "table2", "quick", tmp_path).source == "published weights"
    file = tmp_path / "mine.safetensors"
    torch.manual_seed(3)
    own = models.build("espcn", SCALE)
    safetensors.torch.save_file(own.state_dict(), file)
    one = named_network(f"espcn={file}", SCALE, "table1", "published", tmp_path)
    assert (one.source, one.weights) == (str(file), Local(file))
    assert one.label.endswith("(mine.safetensors)")
    x = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.equal(one.module()(x), own(x))


def test_named_weights_are_what_they_say(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "spin", 2, {"blocks": 1})
    for name in ("spin", "mine"):  # the model, the run's variant
        one = named_network(f"{name}={run}", 2, "table1", "published", tmp_path)
        assert (one.name, one.label, one.scale, one.config["blocks"]) == (name, "Mine (run)", 2, 1)
    with pytest.raises(NetworkError, match=r"run: requested blocks 8, but .*run\.yaml says blocks 1"):
        named_network(f"full={run}", 2, "table1", "published", tmp_path)  # a variant that is defined otherwise
    with pytest.raises(NetworkError, match=r"run: requested x4, but .*run\.yaml says x2"):
        named_network(f"spin={run}", 4, "table1", "published", tmp_path)
    with pytest.raises(PictureError, match=r"bicubic=.*run: interpolation has no weights"):
        named_network(f"bicubic={run}", 2, "table1", "published", tmp_path)
    assert common_scale(["imdn", f"spin={run}"], None) == 2
    assert common_scale(["imdn", f"spin={run}"], 3) == 3
    assert common_scale(["imdn"], None) == 4


def test_weights_of_the_suite(tmp_path: Path) -> None:
    for name in ("spin", "full"):
        one = named_network(f"{name}=pretrained", SCALE, "table1", "published", tmp_path)
        assert (one.label, one.weights) == ("SPIN (pretrained)", Local(models.pretrained_file("spin", SCALE)))
        assert "far from converged" in one.source
    with pytest.raises(NetworkError, match="imdn"):
        named_network("imdn=pretrained", SCALE, "table1", "published", tmp_path)
    assert common_scale(["spin=pretrained"], None) == 4


def test_a_run_of_another_definition_is_not_the_variant_s(tmp_path: Path) -> None:
    run_of(tmp_path / "runs" / "quick" / "full-x4-s0", "spin", SCALE, {"blocks": 1}, variant="full")
    told = r"no trained weights \(full-x4-s0: of another definition \(config.blocks: 1 -> 8\)\), expected"
    with pytest.raises(PictureError, match=told):
        named_network("full", SCALE, "table2", "quick", tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("imdm", "unknown network 'imdm'; did you mean 'imdn'"),
        ("madnet", "madnet: its architecture is not documented"),
        ("carn", "never verified here, and must first be fetched by name (carn.pth); name a file as carn=FILE"),
        ("spin", "full x4: no trained weights, expected "),
    ],
)
def test_networks_without_weights_say_so(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(PictureError) as error:
        named_network(name, SCALE, "table1", "published", tmp_path)
    assert words in str(error.value)


def test_a_checkpoint_that_is_not_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    with pytest.raises(PictureError, match="imdn x4: its checkpoint is not in the mirror"):
        named_network("imdn", SCALE, "table1", "published", tmp_path)


def test_variants_that_they_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"blocks"):
        named_network("patch=pretrained", 4, "table2", "quick", tmp_path)
