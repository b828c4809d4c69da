"""`spinbench evaluate --save`: the SR images that were measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmarks.data import datasets
from benchmarks.measure.quality import psnr
from tests.spinbench.commands import spinbench

TEST_SET = ("--data", "embedded-test", "--scale", 2)


def test_what_is_kept_is_what_was_measured(tmp_path: Path) -> None:
    folder, csv = tmp_path / "new" / "sr", tmp_path / "rows.csv"
    done = spinbench("evaluate", "ESPCN", "--untrained", *TEST_SET, "--save", folder, "--csv", csv)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in folder.iterdir()) == [
        "embedded-test_chelsea_espcn_x2.png", "embedded-test_coffee_espcn_x2.png",
    ]  # fmt: skip
    rows = pd.read_csv(csv).set_index("image")
    for pair in datasets.get("embedded-test").pairs(2):
        with Image.open(folder / f"embedded-test_{pair.name}_espcn_x2.png") as image:
            sr = np.array(image)
        assert sr.shape == pair.hr.shape
        assert psnr(sr, pair.hr, 2) == pytest.approx(rows.psnr[pair.name], abs=1e-9)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    taken = tmp_path / "embedded-test_coffee_bicubic_x2.png"
    taken.write_bytes(b"mine")
    done = spinbench("evaluate", "bicubic", *TEST_SET, "--save", tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"error: --save {tmp_path}: {taken.name} exists already, expected a folder without it\n"
    assert taken.read_bytes() == b"mine" and list(tmp_path.iterdir()) == [taken]
