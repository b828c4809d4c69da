"""Sets of the user's in commands and protocols: their LR images, their names, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from benchmarks.data import datasets
from benchmarks.measure.evaluation import bicubic_upscale, evaluate
from tests.benchmarks.data.own_images import photograph, reduced, save
from tests.spinbench.commands import Done, spinbench
from tests.spinbench.tiny import write_protocol

EXPERIMENT = {
    "title": "mine", "source": "mine", "kind": "table", "caption": "x", "label": "t", "scales": [4],
    "datasets": ["Set5"], "reference": "fs", "variants": {"fs": {"label": "FSRCNN", "model": "fsrcnn"}},
}  # fmt: skip


def folder_of(path: Path, count: int, phase: float = 0, size: tuple[int, int] = (64, 72)) -> Path:
    for number in range(count):
        save(photograph(*size, phase + number), path / f"img_{number}.png")
    return path


def with_lr(path: Path, count: int = 2) -> tuple[Path, Path]:
    hr, lr = folder_of(path / "HR", count), path / "LR"
    for number in range(count):
        save(reduced(photograph(64, 72, number)), lr / f"img_{number}_LRBI_x4.png")
    return hr, lr


def run(folder: Path, test: list[Any], **training: Any) -> Done:
    (folder / "exp.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    evaluation = {"datasets": test, "conventions": ["rcan"]}
    training = {"lr_patch": 12, **training}
    protocol = write_protocol(folder / "mine.yaml", training, evaluation=evaluation)
    options = ("--protocol", protocol, "--results", folder / "results", "--threads", 1)
    return spinbench("run", folder / "exp.yaml", *options)


def measured(done: Done, csv: Path) -> pd.Series:
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(csv)
    return rows.groupby(["dataset", "lr_origin"]).psnr.mean()


def test_evaluate_with_lr_images_of_the_user(tmp_path: Path) -> None:
    hr, lr = with_lr(tmp_path)
    csv = tmp_path / "rows.csv"
    found = measured(spinbench("evaluate", "bicubic", "--data", f"mine={hr}", "--lr", lr, "--csv", csv), csv)
    made = evaluate(bicubic_upscale(4), datasets.get(str(hr)), 4).psnr.mean()
    assert list(found.index) == [("mine", "given")]
    assert found.iloc[0] != pytest.approx(made, abs=0.1)
    wrong = spinbench("evaluate", "bicubic", "--data", hr, "--lr", lr, "--lr", lr)
    assert (wrong.returncode, wrong.stderr) == (1, "error: --lr: 2 folders for 1 --data, expected one for each\n")


@pytest.mark.usefixtures("without_report")
def test_a_protocol_names_hr_and_lr(tmp_path: Path) -> None:
    hr, lr = with_lr(tmp_path)
    both = {"hr": str(hr), "lr": str(lr)}
    done = run(tmp_path, [both | {"label": "mine"}], data=both, validation={"data": both, "every": 4})
    quality = tmp_path / "results" / "runs" / "mine" / "fs-x4-s0" / "quality.csv"
    assert list(measured(done, quality).index) == [("mine", "given")]
    again = run(tmp_path, [both | {"label": "mine"}], data=both, validation={"data": both, "every": 4})
    assert "fs-x4-s0 already finished" in again.stdout
