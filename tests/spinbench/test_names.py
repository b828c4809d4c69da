"""Names of networks and variants on the command line, in any spelling."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import safetensors.torch
import torch

import models
from foundation import registered
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import TINY, Finished


@pytest.mark.parametrize("name", models.names())
def test_a_title_is_the_name_in_another_spelling(name: str) -> None:
    assert models.describe(models.describe(name).title) is models.describe(name)
    assert registered(name) == name


@pytest.mark.parametrize("spelling", ["swinir_light", "SwinIR-light", "swinir-light", "Swinir Light"])
def test_spellings_of_a_network(spelling: str) -> None:
    done = spinbench("speed", "--models", f"{spelling},ESPCN", "--lr", "a")  # the size is wrong: nothing is measured
    assert "--lr a" in done.stderr
    done = spinbench("validate", spelling, "--config", "depht=2")
    assert "has no configuration 'depht'" in done.stderr


def test_one_network_under_all_names(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    torch.manual_seed(0)
    safetensors.torch.save_file(models.build("edsr_baseline", 2).state_dict(), file)
    for spelling in ("EDSR-baseline", "edsr baseline"):
        done = spinbench("export-published", file, tmp_path / f"{spelling}.pth", "--model", spelling, "--scale", 2)
        assert (done.returncode, done.stderr) == (0, "")
        assert "edsr_baseline x2" in done.stdout


def test_spin_is_full_where_it_is_the_same_network(finished: Finished, tmp_path: Path) -> None:
    folder, _ = finished
    for name in ("SPIN", "Full", "spin"):
        done = spinbench("evaluate", name, "--weights", folder / "runs/tiny/full-x4-s0", "--data", "embedded-tset")
        assert "no data set or folder 'embedded-tset'" in done.stderr  # the name was accepted
    narrow = tmp_path / "narrow.safetensors"
    about = {"model": "spin", "scale": 2, "config": {"blocks": 1}}
    state = models.build("spin", 2, blocks=1).state_dict()
    safetensors.torch.save_file(state, narrow, {"spin-bench": json.dumps(about)})
    done = spinbench("evaluate", "full", "--weights", narrow, "--data", "embedded-test")
    assert re.search(r"requested full, but .* says spin", done.stderr)


@pytest.mark.slow
def test_variants_are_named_as_one_likes(finished: Finished) -> None:
    folder, _ = finished
    options = ["--protocol", TINY, "--results", folder, "--threads", 1]
    for name in ("Full", "spin"):
        again = spinbench("run", "table2", "--only", name, *options)
        assert "full-x4-s0 already finished" in again.stdout
    done = spinbench("train", "Only_ISPS", *options)
    assert "unknown variant 'Only_ISPS'; did you mean 'only-ispa'?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cost", "SwinIR-lite"], "unknown network 'SwinIR-lite'; did you mean 'swinir_light'?"),
        (["evaluate", "Bicubic", "--untrained", "--data", "x"], "interpolation takes no --untrained"),
        (["picture", "superpixels", "x", "--network", "IMDM"], "unknown network 'IMDM'; did you mean 'imdn'?"),
        (["picture", "superpixels", "x", "--network", "Only_ISPA=w"], "w: no such file"),
        (
            ["cost", "SPIN", "--config", "blocks=1", "--lr", "8x9"],
            "--lr 8x9: SPIN needs an input of at least 12",
        ),
        (["fetch", "ESRT"], "ESRT: no published checkpoint is registered"),
        (["run", "table1", "--weights", "SwinIR_Light=w"], "SwinIR_Light=w: w: no such file"),
    ],
)
def test_what_is_not_known_is_one_line(arguments: list[str], message: str) -> None:
    done = spinbench(*arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
