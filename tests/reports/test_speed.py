"""The file of measured times: by device, with exponents that are known, and refused where it is damaged."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

import results
from reports import speed as speeds
from tests.reports.speeds import speed_rows


def test_growth_is_the_exponent_of_pixels(tmp_path: Path) -> None:
    speed_rows().to_csv(tmp_path / "speed.csv", index=False)
    (speed,) = speeds.load_speed(tmp_path)
    for index, (_, rows) in enumerate(speed.rows.groupby("network", sort=False)):
        assert speeds.exponent(rows, "median_s") == pytest.approx(1 + index / 20)
        assert speeds.exponent(rows, "memory_bytes") == pytest.approx(1)
        assert math.isnan(speeds.exponent(rows[:1], "median_s"))
    assert speed.conditions == "X (cpu), 2 CPU threads, float32"


def test_devices_stand_apart(tmp_path: Path) -> None:
    rows = speed_rows(["spin"])
    pd.concat([rows, rows.assign(threads=1)]).to_csv(tmp_path / "speed.csv", index=False)
    assert [found.conditions for found in speeds.load_speed(tmp_path)] == [
        "X (cpu), 2 CPU threads, float32", "X (cpu), 1 CPU thread, float32"
    ]  # fmt: skip
    assert speeds.load_speed(tmp_path / "nowhere") == []


def test_names_that_pandas_takes_for_missing_are_names(tmp_path: Path) -> None:
    speed_rows(["null"]).assign(device_name="NA", memory_bytes=None).to_csv(tmp_path / "speed.csv", index=False)
    (found,) = speeds.load_speed(tmp_path)
    assert found.conditions == "NA (cpu), 2 CPU threads, float32"
    assert set(found.rows["network"]) == {"null"}
    assert found.rows["memory_bytes"].isna().all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not a table of measured times"),
        ("a,b\n1,2\n", "not a table of measured times"),
        (speed_rows(["spin"]).astype({"median_s": str}).assign(median_s="fast").to_csv(index=False), "not a table"),
        (speed_rows(["spin"]).assign(median_s=-1).to_csv(index=False), "expected positive numbers"),
    ],
)
def test_a_damaged_file_of_speed_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "speed.csv").write_text(content)
    with pytest.raises(results.ResultsError, match=rf"speed\.csv: .*{message}"):
        speeds.load_speed(tmp_path)
