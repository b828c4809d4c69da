"""A checkpoint of the user as a row: of a table that comes with the suite, and of an experiment of their own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

import models
from results import sha256
from tests.spinbench.commands import spinbench

PROTOCOL = {
    "title": "given", "summary": "A test.", "cost": "seconds", "expect": "nothing",
    "evaluation": {"datasets": ["embedded-test"]},
    "costing": {"latency_lr": [16, 16], "repeats": 1, "warmup": 0, "memory": False},
}  # fmt: skip


@pytest.fixture
def protocol(tmp_path: Path) -> Path:
    path = tmp_path / "given.yaml"
    path.write_text(yaml.safe_dump(PROTOCOL))
    return path


@pytest.mark.slow
def test_a_checkpoint_becomes_a_row_of_table_1(tmp_path: Path, protocol: Path) -> None:
    """IMDN of the user, under its published names: measured, named with its SHA-256, measured anew if it changes."""
    torch.manual_seed(0)
    file = tmp_path / "mine.pth"
    torch.save(models.published_state("imdn", models.build("imdn", 4)), file)
    results = tmp_path / "results"
    command = ["run", "table1", "--protocol", protocol, "--only", "imdn", "--scale", 4, "--threads", 1]
    command += ["--results", results, "--weights", f"imdn={file}"]
    done = spinbench(*command)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pd.read_csv(results / "report" / "given" / "table1.csv").query("variant == 'imdn' and metric == 'psnr'")
    assert rows.query("dataset == 'embedded-test' and scale == 4").measured.item() > 0
    for form in ("table1.tex", "table1.md", "index.html"):
        text = (results / "report" / "given" / form).read_text()
        assert f"Weights given as mine.pth, SHA-256 {sha256(file)[:12]}." in text, form
    assert "imdn-x4-s0 already finished" in spinbench(*command).stdout
    torch.save(models.published_state("imdn", models.build("imdn", 4)), file)
    done = spinbench(*command)
    assert "imdn-x4-s0: evaluate: weights: " in done.stdout and "imdn-x4-s0 done" in done.stdout


def test_a_variant_names_its_checkpoint_beside_the_definition(tmp_path: Path, protocol: Path) -> None:
    torch.save(models.build("espcn", 2).state_dict(), tmp_path / "espcn.pt")
    experiment = {
        "title": "Mine", "source": "me", "kind": "table", "caption": "Mine.", "label": "tab:mine",
        "scales": [2, 4], "datasets": ["embedded-test"], "reference": "mine",
        "variants": {"mine": {"label": "Mine", "model": "espcn", "weights": "espcn.pt"}},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(experiment))
    done = spinbench("run", tmp_path / "mine.yaml", "--protocol", protocol, "--results", tmp_path / "results")
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_csv(tmp_path / "results" / "report" / "given" / "mine.csv")
    table = table[(table.variant == "mine") & (table.metric == "psnr")].set_index("scale")
    assert table.measured[2] > 0
    assert "mine-x4-s0: only its cost is measured: its weights cannot be used at x4" in done.stdout
    assert "its weights cannot be used at x4" in table.status[4]  # they are of x2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("imdn", "expected variant=FILE"),
        ("imbn=x.pth", "did you mean 'imdn'"),
        ("madnet=x.pth", "has no network here that could have weights"),
        ("full=x.pth", "full is trained here"),
        ("imdn=absent.pth", "absent.pth: no such file"),
    ],
)
def test_what_cannot_be_given_is_one_line(protocol: Path, given: str, message: str) -> None:
    done = spinbench("run", "table1", "--protocol", protocol, "--weights", given)
    assert done.returncode == 1
    assert message in done.stderr
