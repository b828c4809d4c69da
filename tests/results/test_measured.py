"""The committed results of the replication: files as they were written, and figures in their README that they give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from results import Run
from results.quality import read_quality

MEASURED = Path(__file__).parents[2] / "results" / "measured"
RUNS = sorted(path.parent for path in MEASURED.glob("*/*/run.yaml"))


def mean_psnr(folder: Path, dataset: str | None = None) -> float:
    rows = read_quality(folder / "quality.csv")
    rows = rows if dataset is None else rows[rows.dataset == dataset]
    return float(rows[rows.convention == "rcan"].psnr.mean())


@pytest.mark.parametrize("folder", RUNS, ids=[f"{path.parent.name}-{path.name}" for path in RUNS])
def test_files_are_those_that_were_recorded(folder: Path) -> None:
    """All but the weights, which are not kept."""
    run = Run.at(folder)
    assert run.folder == folder
    assert run.description()
    assert run.damage() == {}


def test_the_readme_tells_what_the_files_give() -> None:
    text = (MEASURED / "README.md").read_text(encoding="utf-8")
    short = re.findall(r"\| (\d) \| ([\d.]+) \| ([\d.]+) \| (-?[\d.]+) \|", text)
    assert len(short) == 3
    for seed, *told in short:
        full, patch = (
            mean_psnr(MEASURED / "cpu-short" / f"{name}-x4-s{seed}", "BSDS100") for name in ("full", "patch")
        )
        assert told == [f"{value:.3f}" for value in (full, patch, full - patch)]
    assert f"bicubic {mean_psnr(MEASURED / 'cpu-short' / 'bicubic-x4-s0', 'BSDS100'):.3f} dB" in text
    table = re.findall(r"\| (0\.\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", text)
    assert table
    for rate, *told in table:
        full, patch = (mean_psnr(MEASURED / f"rate-{rate}" / f"{name}-x4-s100") for name in ("full", "patch"))
        assert told == [f"{value:.3f}" for value in (full, patch, (full + patch) / 2)]
        assert f"bicubic {mean_psnr(MEASURED / f'rate-{rate}' / 'bicubic-x4-s0'):.3f} dB" in text
