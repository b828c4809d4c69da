"""Values of options as people write them: commas and spaces, ranges, any case, `~`, numbers that look like others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ablations
from benchmarks.data import datasets
from benchmarks.data.fetch import mirror_folder
from benchmarks.measure import devices
from foundation import cache_folder
from results.run import _root
from spinbench.options import UsageError, box_of, compute_device, integers, seeds_of, settings, words
from tests.spinbench.commands import spinbench


def test_one_rule_for_commas(tmp_path: Path) -> None:
    assert words(["a, b,c", " d ", ",", ""]) == ["a", "b", "c", "d"]
    folder = tmp_path / "x, y"
    folder.mkdir()
    assert words([str(folder), "Set5,Set14"]) == [str(folder), "Set5", "Set14"]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.full((32, 32, 3), 9, np.uint8)).save(tmp_path / name / "a.png")
    both = f"{tmp_path / 'one'}, {tmp_path / 'two'}"
    done = spinbench("evaluate", "bicubic", "--data", both, "--convention", "RCAN")
    assert done.returncode == 0, done
    assert done.stdout.count("folder:") >= 2


def test_ranges_of_integers_and_seeds() -> None:
    assert integers(["0-3, 7", "5"], "--seeds") == [0, 1, 2, 3, 7, 5]
    for wrong in ("3-0", "a", "-1", "1.5", "0-99999999999", "²"):
        with pytest.raises(UsageError, match="expected whole numbers such as 0,1,2 or a range"):
            integers([wrong], "--seeds")
    with pytest.raises(UsageError, match=f"--seeds {2**32}: expected at most {2**32 - 1}"):
        seeds_of([str(2**32)])
    done = spinbench("picture", "superpixels", "a.png", "--at", "1-2")
    assert (done.returncode, done.stderr) == (1, "error: --at 1-2: expected whole numbers such as 0,1,2\n")
    with pytest.raises(UsageError, match="--box 1-4: expected whole numbers"):
        box_of("1-4")
    assert box_of("40, 120, 64, 64").x == 40


def test_a_seed_out_of_range_is_told_before_any_work(tmp_path: Path) -> None:
    done = spinbench("run", "table2", "--protocol", "tests/tiny.yaml", "--seeds", 2**32, "--results", tmp_path)
    assert (done.returncode, done.stderr.startswith(f"error: --seeds {2**32}")) == (1, True)
    assert not any(tmp_path.iterdir())


def test_any_case_of_a_name(tmp_path: Path) -> None:
    assert datasets.get("set5").name == "Set5"
    assert ablations.load_protocol("QUICK") == ablations.load_protocol("quick")
    assert ablations.load_experiment("TABLE2").title == ablations.load_experiment("table2").title
    assert ablations.name_of("Quick") == "quick"
    file = tmp_path / "UP.YAML"
    file.write_bytes((Path(__file__).parents[1] / "tiny.yaml").read_bytes())
    assert ablations.load_protocol(str(file)).title
    assert ablations.name_of(str(file)) == "UP"
    assert compute_device("CPU", None).type == "cpu"


def test_home_in_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("SPINBENCH_DATA", "SPINBENCH_MIRROR", "SPINBENCH_RESULTS"):
        monkeypatch.setenv(name, "~")
    assert (cache_folder(), mirror_folder(), _root()) == (tmp_path, tmp_path, tmp_path)


@pytest.mark.parametrize("number", ["010", "-010", "1:30", "1:30.5", "0_7"])
def test_octal_numbers_and_those_of_base_60_are_refused(tmp_path: Path, number: str) -> None:
    with pytest.raises(UsageError, match=f"{number} is a number (octal|of base 60)"):
        settings([f"blocks={number}"])
    file = tmp_path / "wrong.yaml"
    file.write_text((Path(__file__).parents[1] / "tiny.yaml").read_text() + f"\nx: {number}\n")
    with pytest.raises(ablations.AblationError, match=r"wrong\.yaml: not valid YAML .*expected a decimal one, or"):
        ablations.load_protocol(str(file))
    assert settings([f'a="{number}"', "b=10", "c=1e-3", "d=0", "e=0.5"]) == {
        "a": number, "b": 10, "c": 1e-3, "d": 0, "e": 0.5,
    }  # fmt: skip


def test_the_published_table_is_looked_for_before_the_work(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "title: t\nsource: s\nkind: table\ncaption: c\nlabel: l\nscales: [2]\ndatasets: [embedded-test]\nreference: a\n"
        "published: tabel2.csv\nvariants: {a: {label: A, model: espcn}}\n"
    )
    done = spinbench("run", file, "--protocol", "tests/tiny.yaml", "--results", tmp_path / "r")
    assert (done.returncode, "no table 'tabel2.csv'" in done.stderr, "did you mean 'table2.csv'" in done.stderr) == (
        1, True, True,
    )  # fmt: skip


def test_the_quota_of_a_container_bounds_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "a" / "b"
    group.mkdir(parents=True)
    (tmp_path / "self").write_text("1:cpu:/old\n0::/a/b\n")
    for folder, content in ((group, "max 100000"), (group.parent, "250000 100000"), (tmp_path, "50000 100000")):
        (folder / "cpu.max").write_text(content)
    assert devices._quotas(tmp_path, tmp_path / "self") == [2, 1]
    assert devices._quotas(tmp_path, tmp_path / "none") == []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        monkeypatch.setattr(devices, "cores", lambda: 3)
        devices.use_threads(None)
        assert torch.get_num_threads() == 3
        devices.use_threads(5)
        assert torch.get_num_threads() == 5
    finally:
        torch.set_num_threads(before)
