"""The section on SPIN's speed: its numbers, what is met and missed in words, and names that try to be markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.render import render
from results import ResultsError, targets
from tests.reports.pages import Page
from tests.targets import STEP, growth, sample, work

HOSTILE = '<script>alert(1)</script>" onload="x {{ 7*7 }}'
MET, MISSED = "✓ met", "✗ missed"


def page(root: Path, **changes: Any) -> Page:
    targets.store(sample(**changes), root)
    return Page(render(["table2"], "quick", root))


def test_without_a_file_there_is_no_section(tmp_path: Path) -> None:
    found = Page(render(["table2"], "quick", tmp_path))
    assert "Speed of SPIN" not in found.text
    assert "#targets" not in found.source


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / targets.FILE).write_text("{}")
    with pytest.raises(ResultsError, match=r"speed-targets\.json: device_name: Field required"):
        render(["table2"], "quick", tmp_path)


def test_numbers_stand_beside_their_limits(tmp_path: Path) -> None:
    found = page(tmp_path)
    assert found.row("LR 320x180, x4, forward")[1:] == [
        "41.25", "1.500", "4.500", "27.5", "9.2", f"150.00 {MET}", "450.00", "240.00", "160.00",
        f"3.00 {MET}", "2.50", f"0.734 {MET}", "2.202", "1.500", "0.800",
    ]  # fmt: skip
    assert found.row("LR 64x64, x4, forward")[6:11] == [f"12.50 {MISSED}", "25.00", "15.00", "10.00", f"2.00 {MISSED}"]
    assert found.row(STEP)[1:6] == ["11.73", "1.250", "5.000", "–", "–"]
    assert found.row("LR 256x192, x4, forward")[6:12] == ["200.00", "700.00", "–", "–", "3.50", "–"]
    assert found.row("SPCA")[1:] == ["0.750", "75.0\u00a0%"]
    assert found.row("imresize, x1/4")[1:] == ["4.00", "20.00", f"5.00 {MET}", "4.00"]
    assert found.row("SSIM")[1:] == ["10.00", "15.00", f"1.50 {MISSED}", "2.00"]
    assert found.row("48×64")[2:] == ["3.22", f"{2**20 / 1e4 / 3072**0.0625:.1f}"]
    assert {"href": "#targets"} in [attributes for tag, attributes in found.elements if tag == "a"]


def test_a_dash_stands_where_nothing_was_measured(tmp_path: Path) -> None:
    row = page(tmp_path).row("LR 640x360, x2, forward")
    assert row[2:] == [
        "6.000", "–", "27.3", "–", "600.00", "–", "–", "–", "–", "–", f"2.500 {MISSED}", "–", "–", "0.800",
    ]  # fmt: skip


def test_the_sum_of_it_is_told_in_words(tmp_path: Path) -> None:
    found = page(tmp_path)
    text = " ".join(found.text.split())
    assert "9 of 14 targets met on Synthetic CPU, 2 CPU threads, torch 2.13.0, Python 3.12.1;" in text
    assert "product runs there at 100.0 GMACs/s." in text
    assert "LR 64x64, x4, forward: 12.500 GMAC-equivalents, at most 10.000" in found.items
    assert "SSIM: 1.500 times as fast as NumPy written out, at least 2.000" in found.items
    assert "growth at ×4, exponent of time less that of MACs: 0.062, at most 0.050" in found.items
    assert "is 1.062, that of MACs 1.000. The difference +0.062 is to be at most 0.050: ✗ missed" in text
    assert "In bfloat16: LR 320x180, x4, forward takes 0.750 s where float32 takes 1.500 s, 2.00 times as fast." in text
    assert "a PSNR of 52.2 dB" in text


def test_nothing_missed_and_nothing_more_measured(tmp_path: Path) -> None:
    kept = work("a", 10**9, 1, 4, most=200, ratio=2)
    found = page(tmp_path, works=[kept], reduced=None, growth=growth(1, 1), parts=[], operations=[], threads=1)
    assert "4 of 4 targets met on Synthetic CPU, 1 CPU thread, torch" in " ".join(found.text.split())
    for words in ("Missed:", MISSED, "PSNR of", "Where the time goes", "Operations on images"):
        assert words not in found.text


def test_how_the_reference_is_off_the_official_code(tmp_path: Path) -> None:
    content = work("a", 10**9, 1, 4, most=200)
    content["target"]["most_deviation"] = 0.2
    found = page(tmp_path, works=[content])
    assert found.row("a")[7:9] == [f"400.00 {MISSED}", "300.00"]
    assert "a, dense: 0.333 off the official, as a share, at most 0.200" in found.items
    assert "are not further off than the limit says: 20 %." in " ".join(found.text.split())


def test_names_are_text(tmp_path: Path) -> None:
    found = page(
        tmp_path,
        device_name=HOSTILE, torch=HOSTILE, python=HOSTILE,
        works=[work(HOSTILE, 10**9, 1, None, most=1)],
        reduced={"work": HOSTILE, "dtype": HOSTILE, "samples_s": [1], "float32_s": [1], "psnr_db": 50},
        parts=[{"name": HOSTILE, "seconds": 1}],
        operations=[{"name": HOSTILE, "seconds": 1, "direct_seconds": 1, "limit": 2}],
    )  # fmt: skip
    assert found.text.count(HOSTILE) == 11
    assert [tag for tag, _ in found.elements].count("script") == 1  # the page's own
    assert not [name for _, attributes in found.elements for name in attributes if name.startswith("on")]
