"""Agreement of published checkpoints with their official modules."""

from __future__ import annotations

import pandas as pd

import ablations
import results
from reports.agreement import agreement


def measured(psnr: float, ssim: float, images: int = 2, **changes: object) -> pd.DataFrame:
    row = {
        "source": "published weights",
        "variant": "imdn",
        "scale": 4,
        "convention": "rcan",
        "dataset": "Set5",
        "psnr": psnr,
        "ssim": ssim,
    }
    return pd.DataFrame([{**row, "image": str(number), **changes} for number in range(images)])


def official(psnr: str, ssim: str) -> pd.DataFrame:
    row = {"variant": "imdn", "scale": 4, "convention": "rcan", "dataset": "Set5", "psnr": psnr, "ssim": ssim}
    return pd.DataFrame([row])


def verdicts(frame: pd.DataFrame, psnr: str, ssim: str) -> list[bool]:
    return agreement(frame, official(psnr, ssim), {"Set5": 2})["agrees"].tolist()


def test_the_tolerance_follows_the_decimals_that_are_known() -> None:
    assert verdicts(measured(32.2155, 0.8948), "32.21", "0.8948") == [True]
    assert verdicts(measured(32.2155, 0.8948), "32.210", "0.8948") == [False]
    assert verdicts(measured(32.2125, 0.89494), "32.210", "0.8948") == [True]  # prints as 0.8949
    assert verdicts(measured(32.2125, 0.89504), "32.210", "0.8948") == [False]
    assert verdicts(measured(32.2125, 0.89504), "32.21", "0.8948") == [True]


def test_only_published_weights_on_whole_sets_are_compared() -> None:
    assert verdicts(measured(32.21, 0.8948, images=1), "32.21", "0.8948") == []
    assert verdicts(measured(32.21, 0.8948, source="run"), "32.21", "0.8948") == []
    assert verdicts(measured(32.21, 0.8948, convention="y8"), "32.21", "0.8948") == []


def test_every_official_figure_belongs_to_a_variant_of_table_1() -> None:
    figures = results.official()
    variants = ablations.load_experiment("table1").variants
    assert set(figures["variant"]) <= set(variants)
    assert not figures.duplicated(["variant", "scale", "convention", "dataset"]).any()
    assert set(figures["convention"]) <= set(ablations.load_protocol("published").evaluation.conventions)
