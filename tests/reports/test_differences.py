"""The images behind the statistics: what a figure shows of them has the same mean."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import results
from reports import study
from reports.contrasts import against_reference
from reports.differences import image_differences

Store = Callable[..., results.Run]


def test_differences_of_a_figure_are_those_of_the_statistics(store: Store, tmp_path: Path) -> None:
    store("bicubic", psnr=24.0)
    store("full", psnr=25.0)
    store("full", seed=1, psnr=26.0, datasets={"embedded-test": ["a", "b"]})  # a part: left out
    store("svq", psnr=25.25)
    store("patch", psnr=24.0)
    store("patch", seed=1, psnr=24.5)
    one = study.load_study("table2", "quick", tmp_path)
    rows = against_reference(one.experiment, one.frame).query("dataset == 'embedded-test' and metric == 'psnr'")
    found = image_differences(one.frame, rows)
    assert found is not None
    assert (found.reference, found.dataset, found.scale, found.metric) == ("Full", "embedded-test", 4, "psnr")
    means = {label: np.mean(panel.values) for label, panel in found.panels.items()}
    assert means == pytest.approx({"SVQ": 0.25, "Patch": -0.75})
    assert means == pytest.approx(rows.set_index("label").difference.drop("Bicubic").to_dict())
    assert image_differences(one.frame, rows[:0]) is None
