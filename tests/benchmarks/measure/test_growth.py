"""Speed of networks: the rows of one, exponents of known power laws, and what is kept of older rows."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pandas as pd
import pytest
import torch

import models
import results
from benchmarks.measure import growth
from benchmarks.measure.macs import macs
from benchmarks.measure.peak import Memory
from reports.speed import exponent

CPU = torch.device("cpu")


@pytest.fixture
def memory_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a process."""
    monkeypatch.setattr(growth, "peak_memory", lambda name, scale, config, size, device: Memory(7, size, "m"))


def test_a_row_for_each_of_four_sizes() -> None:
    told: list[tuple[int, int, str]] = []
    rows = growth.timings("espcn", 4, (16, 24), CPU, 3, lambda *event: told.append(event))
    assert list(rows.columns) == growth.COLUMNS
    sizes = [(8, 12), (12, 18), (16, 24), (24, 36)]
    assert list(zip(rows["lr_height"], rows["lr_width"], strict=True)) == sizes
    network = models.build("espcn", 4)
    assert rows["macs"].tolist() == [macs(network, size).total for size in sizes]
    assert (rows["q1_s"] <= rows["median_s"]).all()
    assert (rows["median_s"] <= rows["q3_s"]).all()
    assert (rows["q1_s"] > 0).all()
    assert rows["memory_bytes"].notna().tolist() == [False, False, True, False]
    assert rows["memory_bytes"].max() > 0
    assert set(rows["torch"]) == {importlib.metadata.version("torch")}
    assert set(rows["threads"]) == {torch.get_num_threads()}
    assert told == [(done, 4, f"{height}x{width}") for done, (height, width) in enumerate(sizes, start=1)]
    assert exponent(rows, "macs") == pytest.approx(1)


@pytest.mark.usefixtures("memory_is_known")
def test_sizes_too_small_for_a_network_are_left_out() -> None:
    rows = growth.timings("bsrn", 4, (20, 20), CPU, 1)
    assert rows["lr_height"].tolist() == [15, 20, 30]
    with pytest.raises(ValueError, match="bsrn needs an input of at least 15 pixels in height and width, not 14x30"):
        growth.timings("bsrn", 4, (14, 30), CPU, 1)


@pytest.mark.usefixtures("memory_is_known")
def test_a_size_is_measured_once() -> None:
    rows = growth.timings("espcn", 4, (1, 1), CPU, 1)
    sizes = list(zip(rows["lr_height"], rows["lr_width"], strict=True))
    assert len(set(sizes)) == len(sizes) and rows["memory_bytes"].notna().sum() == 1


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 1.37])
def test_growth_of_a_power_law(power: float) -> None:
    rows = pd.DataFrame({"lr_height": [8, 16, 20, 40], "lr_width": [8, 10, 30, 30]})
    rows["seconds"] = 0.3 * (rows["lr_height"] * rows["lr_width"]) ** power
    assert exponent(rows, "seconds") == pytest.approx(power, abs=1e-9)
    assert exponent(rows[:1], "seconds") != exponent(rows[:1], "seconds")  # nothing to tell from one size


@pytest.mark.usefixtures("memory_is_known")
def test_rows_measured_anew_replace_the_old_ones_alone(tmp_path: Path) -> None:
    path = tmp_path / "speed.csv"
    espcn, fsrcnn = (growth.timings(name, 2, (8, 8), CPU, 1) for name in ("espcn", "fsrcnn"))
    elsewhere = espcn.assign(device_name="another machine")
    for rows in (espcn, fsrcnn, elsewhere):
        growth.store_timings(rows, path)
    before = path.read_text().splitlines()
    assert len(before) == 1 + 12
    anew = espcn.assign(median_s=1.5)
    growth.store_timings(anew, path)
    after = path.read_text().splitlines()
    assert after[:1] + after[1:9] == before[:1] + before[5:]  # kept to the last digit
    assert pd.read_csv(path)["median_s"][8:].tolist() == [1.5] * 4


@pytest.mark.usefixtures("memory_is_known")
@pytest.mark.parametrize("content", [b"network,scale\nespcn,4\n", b"", b"\xff\xfe\x00", b'a,b\n"1,2\n'])
def test_a_file_that_is_no_such_table_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "speed.csv"
    path.write_bytes(content)
    with pytest.raises(results.ResultsError, match=r"speed\.csv: "):
        growth.store_timings(growth.timings("espcn", 2, (8, 8), CPU, 1), path)
    assert path.read_bytes() == content
