"""`--precision`: what a network loses in a half precision, beside float32."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

from benchmarks.measure.latency import Pass
from tests.spinbench.commands import spinbench

EVALUATE = "evaluate espcn --untrained --scale 2 --data embedded-test --precision bf16 --device cpu"


def test_evaluate(tmp_path: Path) -> None:
    """The loss is that of the images' PSNR, and float32 is what is measured without the option."""
    example = EVALUATE.split()
    with_csv, without = tmp_path / "bf16.csv", tmp_path / "float32.csv"
    code, out, err = spinbench(*example, "--csv", with_csv)
    assert (code, err) == (0, "")
    plain = [word for word in example if word not in ("--precision", "bf16")]
    assert spinbench(*plain, "--csv", without).returncode == 0
    rows, exact = pd.read_csv(with_csv), pd.read_csv(without)
    assert set(rows.precision) == {"bfloat16"}
    np.testing.assert_allclose(rows.psnr_float32, exact.psnr, atol=1e-3)
    assert (rows.psnr != rows.psnr_float32).all()
    loss = f"{(rows.psnr_float32 - rows.psnr).mean():.4f}"
    assert "loss by bfloat16 (dB)" in out
    (line,) = [line for line in out.splitlines() if line.startswith("│ embedded-test")]
    assert line.strip("│ ").endswith(loss)


@pytest.mark.parametrize("precision", ["fp16", "bfloat16"])
def test_upscale(tmp_path: Path, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lr = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(lr).save("a.png")
    options = ["a.png", "--model", "espcn", "--untrained", "--scale", 2, "--device", "cpu"]
    assert spinbench("upscale", *options, "--output", "exact").returncode == 0
    assert spinbench("upscale", *options, "--output", "half", "--precision", precision).returncode == 0
    exact, half = (np.asarray(Image.open(Path(folder) / "a.png")).astype(int) for folder in ("exact", "half"))
    assert 0 < np.abs(exact - half).max() <= 8


def test_bicubic_has_none() -> None:
    code, _, err = spinbench("evaluate", "bicubic", "--data", "embedded-test", "--precision", "fp16")
    assert (code, err) == (1, "error: bicubic: interpolation takes no --precision\n")


def test_cost() -> None:
    options = ["--scale", 2, "--lr", "24x32", "--repeats", 3, "--no-memory", "--device", "cpu"]
    table = spinbench("cost", "espcn", *options, "--precision", "bf16").stdout
    assert re.search(r"PyTorch in bfloat16, \d+\.\d\d times as fast as in float32", table)
    options.append("--json")
    code, out, err = spinbench("cost", "espcn", *options, "--precision", "bf16")
    assert (code, err) == (0, "")
    found = json.loads(out)
    reduced, (exact,) = found["reduced"], found["measured"]
    assert reduced["precision"] == "bfloat16"
    assert reduced["latency"]["lr_size"] == exact["lr_size"] == [24, 32]
    assert reduced["gain"] == pytest.approx(exact["latency"]["median_s"] / reduced["latency"]["median_s"])
    assert "reduced" not in json.loads(spinbench("cost", "espcn", *options).stdout)


def test_a_pass_computes_in_its_precision() -> None:
    seen = []

    class Net(nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(super().forward(x).dtype)
            return x

    for precision in (None, "float32", "bfloat16"):
        with Pass(Net(3, 3, 1), (4, 4), precision=precision).prepared(torch.device("cpu")) as run:
            run()
    assert seen == [torch.float32, torch.float32, torch.bfloat16]
