"""README's tables and the page of licences are those of their script; README's findings are what the results give."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import models
import results
from ablations import load_protocol
from benchmarks.data.datasets import SETS
from reports.claims import judge_study
from reports.deviations import load_deviations
from reports.gaps import load_gaps
from reports.study import load_study
from results.quality import read_quality
from tests.docs.scripts import DOCS, load

README = (DOCS.parent / "README.md").read_text("utf-8")
AGAIN = "run nox -s pictures"
QUICK = ("imdn", "srcnn", "fsrcnn", "espcn")  # MACs that are counted in a moment


@pytest.fixture(scope="module")
def facts() -> Any:
    return load("facts")


def told_macs(facts: Any) -> dict[str, float]:
    rows = re.findall(r"^\| (\S+) \(\d+\) \| [\d,]+K \| ([\d.]+)G \|", README, re.MULTILINE)
    by_title = {title: float(value) for title, value in rows}
    return {name: by_title[models.describe(name).title] for name in models.names()}


def test_the_table_of_networks(facts: Any) -> None:
    """All but the MACs, which take longer."""
    table = facts.networks(told_macs(facts).__getitem__)
    assert facts.with_block(README, "networks", table) == README, AGAIN
    assert "| SPIN (2023) | 555K | 78.0G | 32.48 |" in table  # published: Table 1 of the paper
    assert "| BSRN (2022) | 352K | " in table
    told = {name: round(facts.count_macs(name), 1) for name in QUICK}
    assert told == {name: value for name, value in told_macs(facts).items() if name in QUICK}, AGAIN


@pytest.mark.slow
def test_the_macs_of_all_networks(facts: Any) -> None:
    assert {name: round(facts.count_macs(name), 1) for name in models.names()} == told_macs(facts), AGAIN


def test_the_table_of_protocols(facts: Any) -> None:
    assert facts.with_block(README, "protocols", facts.protocols()) == README, AGAIN
    for name in ("quick", "cpu-short", "cpu", "paper", "published"):
        assert f"| `{name}` | " in facts.protocols()
        assert load_protocol(name).cost in facts.protocols()


def test_the_page_of_licences(facts: Any) -> None:
    page = facts.licences()
    assert page == (DOCS / "licences.md").read_text("utf-8"), AGAIN
    assert {*re.findall(r"^\| ([\w-]+) \| \d+ \|", page, re.MULTILINE)} == {*SETS}
    assert all(f"| {models.describe(name).title} | " in page for name in models.names())
    assert (
        "| DIV2K-train | 800 | training | Agustsson and Timofte 2017, images 1 to 800 | academic research only |"
        in page
    )
    assert "| IMDN | https://github.com/Zheng222/IMDN | unknown | Zheng222/IMDN | unknown |" in page
    assert "| BSRN | https://github.com/xiaom233/BSRN | MIT | xiaom233/BSRN | MIT |" in page


def test_a_text_without_the_block_is_refused(facts: Any) -> None:
    with pytest.raises(ValueError, match="no <!-- networks -->"):
        facts.with_block("<!-- networks -->\n", "networks", "")
    two = "<!-- a -->\nx\n<!-- end of a --> <!-- b -->\nx\n<!-- end of b -->"
    assert facts.with_block(two, "b", "y") == two.replace("b -->\nx", "b -->\ny")


def mean_psnr(run: str, dataset: str | None = None) -> float:
    rows = read_quality(results.MEASURED / run / "quality.csv")
    rows = rows[(rows.convention == "rcan") & (True if dataset is None else rows.dataset == dataset)]
    return float(rows.psnr.mean())


def found(pattern: str) -> list[float]:
    """The numbers in a sentence of README."""
    match = re.search(pattern, " ".join(README.split()))
    assert match, pattern
    return [float(number) for number in match.groups()]


def test_the_gap_between_superpixels_and_patches() -> None:
    gaps = load_gaps(["cpu-short"], results.MEASURED)
    assert gaps
    (gap,) = (gap for gap in gaps.gaps if gap.variant == "patch" and gap.iterations == 750)
    said = found(
        r"open\.\*\* After 750 steps Full minus Patch is (\S+) dB on BSDS100, 95% interval \[(\S+), (\S+)\],"
        r" three seeds; the paper prints (\S+) dB"
    )
    assert said == [round(gap.difference, 3), round(gap.low, 3), round(gap.high, 3), round(gap.published, 2)]
    assert (gap.word, gap.seeds, gaps.dataset) == ("open", 3, "BSDS100")


def test_published_checkpoints_and_the_paper() -> None:
    deviations = load_deviations(load_study("table1", "published", results.MEASURED))
    assert deviations
    here = [one for one in deviations.values if one.scale == 4]
    assert {one.label for one in here} == {"IMDN", "LatticeNet+"}
    said = found(
        r"All (\d+) PSNR values at ×4 that can be compared with the paper's \(IMDN, LatticeNet\+\) are within (\S+) dB"
    )
    assert said == [len(here), 0.01] and all(abs(one.difference) < 0.01 for one in here)


def test_seeds_and_bicubic() -> None:
    seeds = [mean_psnr(f"cpu-short/full-x4-s{seed}", "BSDS100") for seed in range(3)]
    assert found(r"Three seeds of the same Full span (\S+) dB on BSDS100") == [round(max(seeds) - min(seeds), 3)]
    above = sum(seeds) / 3 - mean_psnr("cpu-short/bicubic-x4-s0", "BSDS100")
    assert found(r"trainings of Full are (\S+) dB above bicubic on BSDS100") == [round(above, 3)]


def test_the_learning_rate() -> None:
    gained = [
        mean_psnr(f"rate-0.001/{name}-x4-s100") - mean_psnr(f"rate-0.0005/{name}-x4-s100") for name in ("full", "patch")
    ]
    full, patch = found(r"From 0\.0005 to 0\.001, Full gains (\S+) dB and Patch loses (\S+) dB")
    assert [full, -patch] == [round(gain, 3) for gain in gained]


def test_claims_by_the_printed_numbers() -> None:
    words = [one.published.word for one in judge_study(load_study("table2", "cpu-short", results.MEASURED))]
    counted = [words.count("contradicted"), len(words), words.count("supported")]
    assert (
        found(r"(\d+) of (\d+) claims around Table 2 are contradicted by its own numbers\*\*, and (\d+) supported")
        == counted
    )
    table = results.published("table2.csv").set_index(["method", "dataset"]).psnr
    behind = table["Full", "Urban100"] - table["SVQ", "Urban100"]
    assert found(r"SVQ is (\S+) dB behind on Urban100") == [round(behind, 2)]


def test_the_limits() -> None:
    rows = read_quality(results.MEASURED / "cpu-short" / "full-x4-s0" / "quality.csv")
    counts = rows[rows.convention == "rcan"].dataset.value_counts()
    assert found(r"Urban100 was measured on (\d+) of its 100 images") == [counts["Urban100"]]
    assert "Manga109" not in counts
    assert not any("Manga109" in path.name for path in results.MEASURED.rglob("*.csv"))


def test_what_stands_below_the_title() -> None:
    needed = re.search(r'requires-python = "(>=[\d.]+)"', Path(DOCS.parent / "pyproject.toml").read_text("utf-8"))
    assert needed
    assert f"`Python {needed[1].replace('>=', '≥ ')}` · `MIT` · `{len(models.names())} networks`" in README
