"""Speed targets on disk and their verdicts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from results import ResultsError
from tests.speed import targets
from tests.speed.sample import STEP, growth, sample, work
from tests.speed.targets import Growth, Operation, TargetVerdict


def test_what_is_stored_comes_back(tmp_path: Path) -> None:
    assert targets.load_targets(tmp_path) is None
    assert targets.store_targets(sample(), tmp_path) == tmp_path / "speed-targets.json"
    assert targets.load_targets(tmp_path) == sample()
    targets.store_targets(sample(reduced=None, parts=[], operations=[]), tmp_path)
    assert targets.load_targets(tmp_path) == sample(reduced=None, parts=[], operations=[])


def change(content: dict[str, Any], place: str, value: Any) -> None:
    *outer, last = (int(key) if key.isdigit() else key for key in place.split("."))
    inner: Any = content
    for key in outer:
        inner = inner[key]
    inner[last] = value


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("threads", 0, "threads: Input should be greater than 0"),
        ("works", [], "works: List should have at least 1 item"),
        ("works.1.ours.samples_s.2", -1, "works.1.ours.samples_s.2: Input should be greater than 0"),
        ("works.1.ours.gemm_equivalents", [1], "works.1.ours: Value error, samples_s and gemm_equivalents of"),
        ("works.0.target.most_bytes", None, "works.0.target.most_bytes: Input should be a valid integer"),
        ("surprise", 1, "surprise: Extra inputs are not permitted"),
        ("growth.seconds", [1], "growth: Value error, sizes, seconds and macs of different lengths"),
        ("growth.sizes", [(8, 8), (4, 16), (16, 4), (2, 32)], "growth: Value error, sizes of the same number"),
        ("gemm_macs_per_s", float("nan"), "gemm_macs_per_s: Input should be a finite number"),
    ],
)
def test_a_damaged_file_and_its_place_are_named(tmp_path: Path, place: str, value: Any, words: str) -> None:
    path = targets.store_targets(sample(), tmp_path)
    content = json.loads(path.read_text())
    change(content, place, value)
    path.write_text(json.dumps(content))
    with pytest.raises(ResultsError) as error:
        targets.load_targets(tmp_path)
    assert str(error.value).startswith(f"{path}: {words}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "damage", [lambda whole: b"", lambda whole: whole[:-20], lambda whole: b"[]", lambda whole: b"\xff" + whole]
)
def test_what_is_not_a_file_of_targets_is_named(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = targets.store_targets(sample(), tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ResultsError) as error:
        targets.load_targets(tmp_path)
    assert str(error.value).startswith(f"{path}: the file: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("measured", "at_least", "met"),
    [(1.9, False, True), (2, False, True), (2.1, False, False), (1.9, True, False), (2, True, True), (2.1, True, True)],
)
def test_a_limit_is_met_on_its_own_side_and_where_equal(measured: float, at_least: bool, met: bool) -> None:
    assert TargetVerdict(name="a", measured=measured, limit=2, unit="s", at_least=at_least).met is met


def test_every_limit_has_its_verdict_in_order() -> None:
    told = [(one.name, one.unit, one.measured, one.limit, one.met) for one in sample().verdicts()]
    memory, effort, gain = "GB", "GMAC-equivalents", "times as fast as dense"
    assert told[:9] == [
        ("LR 320x180, x4, forward", effort, 150, 160, True),
        ("LR 320x180, x4, forward", gain, 3, 2.5, True),
        ("LR 320x180, x4, forward", memory, 0.734, 0.8, True),
        ("LR 64x64, x4, forward", effort, 12.5, 10, False),
        ("LR 64x64, x4, forward", gain, 2, 4, False),
        ("LR 64x64, x4, forward", memory, 0.25, 0.8, True),
        ("LR 640x360, x2, forward", memory, 2.5, 0.8, False),
        (STEP, effort, 125, 150, True),
        (STEP, gain, 4, 3, True),
    ]
    assert [one[0] for one in told[9:]] == [
        STEP, "LR 256x192, x4, forward", "growth at ×4, exponent of time less that of MACs",
        "imresize, x1/4", "SSIM",
    ]  # fmt: skip
    assert [one[-1] for one in told[9:]] == [True, True, False, True, False]


def test_a_ratio_that_is_not_known_decides_nothing() -> None:
    (alone,) = sample(works=[work("a", 1, 1, None, ratio=3)]).works
    assert (alone.ratio, alone.gain) == (None, None)


@pytest.mark.parametrize(("dense_s", "met"), [(2.39, False), (2.41, True), (3, True), (3.59, True), (3.61, False)])
def test_the_reference_is_to_be_like_the_official_code(dense_s: float, met: bool) -> None:
    content = work("a", 1, 1, dense_s, most=200)  # so 300 GEMM-equivalents are official
    content["target"]["most_deviation"] = 0.2
    found = sample(works=[content])
    likeness = found.works[0].likeness
    assert likeness in found.verdicts() and likeness is not None
    assert (likeness.met, likeness.measured) == (met, pytest.approx(abs(dense_s / 3 - 1)))


def test_a_training_step_has_no_macs_per_second() -> None:
    found = {work.name: work.macs_per_s(work.ours) for work in sample().works}
    assert found["LR 320x180, x4, forward"] == pytest.approx(27.502e9)
    assert found[STEP] is None


@pytest.mark.parametrize("time", [1.0, 1.25, 2.0])
def test_exponents_of_exact_powers(time: float) -> None:
    found = Growth.model_validate(growth(time, 1, limit=0.5))
    assert found.exponent(found.seconds) == pytest.approx(time)
    assert found.exponent(found.macs) == pytest.approx(1)
    assert found.beyond.measured == pytest.approx(time - 1, abs=1e-12)
    assert found.beyond.met is (time < 1.5)


def test_an_operation_gains_the_time_that_it_saves() -> None:
    gain = Operation(name="a", seconds=0.5, direct_seconds=2, limit=4).gain
    assert (gain.measured, gain.at_least, gain.met) == (4, True, True)
