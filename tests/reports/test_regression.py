"""Verdicts of the regression check on synthetic measurements: what must be found, and what must stay quiet."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import regression
from reports.regression import Check, CheckLine, Tolerance, as_json, check_network, judge_gain, markdown, overall
from results import ResultsError, references
from results.references import Cost, Measured, NetworkRecord, Reference, Timing

SETS = {"few": ["a", "b"], "many": [f"{number:03}" for number in range(20)]}
random = np.random.default_rng(0)
SPREAD = random.normal(0, 2, 22)
SR = random.integers(0, 256, (22 * 16, 3))
FORWARD = 0.25 * (1 + 0.04 * random.standard_normal(15))
CALIBRATION = 0.03 * (1 + 0.04 * random.standard_normal(15))


def timing(forward: float = 1.0, calibration: float = 1.0, device_name: str = "a CPU", device: str = "cpu") -> Timing:
    return Timing(tuple(forward * FORWARD), tuple(calibration * CALIBRATION), (64, 64), device, device_name)


@pytest.fixture
def measured() -> Measured:
    images = [(name, image) for name, pictures in SETS.items() for image in pictures]
    quality = pd.DataFrame(images, columns=["dataset", "image"])
    quality = quality.assign(lr_origin="imresize-symmetric", psnr=28 + SPREAD, ssim=0.8 + SPREAD / 100)
    samples = quality.loc[quality.index.repeat(16), ["dataset", "image"]].reset_index(drop=True)
    samples = samples.assign(row=np.tile(np.arange(16) // 4, 22), column=np.tile(np.arange(16) % 4, 22))
    samples[["red", "green", "blue"]] = SR
    return Measured(
        NetworkRecord("spin", 4, {"blocks": 8}, weights="1" * 64, training="2" * 64),
        {name: name * 3 for name in SETS},
        Cost(555_035, 78_013_382_208, timing(), 22_282_240),
        quality[references.QUALITY],
        samples[references.SAMPLES],
        {"versions": {"torch": "2.13.0"}, "finished": "2025-01-01T00:00:00+00:00"},
    )


@pytest.fixture
def reference(measured: Measured, tmp_path: Path) -> Reference:
    return references.store_reference("quick/full-x4-s0", measured, "first", root=tmp_path)


def verdicts(check: Check) -> dict[str, str]:
    return {line.quantity: line.verdict for line in check.lines}


def worse(check: Check) -> set[str]:
    return {line.quantity for line in check.lines if line.verdict == "worse"}


def altered(measured: Measured, table: str, change: Callable[[pd.DataFrame], Any]) -> Measured:
    frame = getattr(measured, table).copy()
    change(frame)
    return replace(measured, **{table: frame})


def by(metric: str, amount: Any, dataset: str = "many") -> Callable[[pd.DataFrame], None]:
    """Adds to a metric of a set."""

    def change(frame: pd.DataFrame) -> None:
        frame.loc[frame["dataset"] == dataset, metric] += amount

    return change


def cost(measured: Measured, **changes: Any) -> Measured:
    assert measured.cost is not None
    return replace(measured, cost=replace(measured.cost, **changes))


# the same weights: nothing may change


def test_the_same_again_is_equal(reference: Reference, measured: Measured) -> None:
    check = check_network("now", reference, measured)
    latency = {"latency / calibration"}
    assert {line.verdict for line in check.lines} == {"equal"}
    assert {line.quantity for line in check.lines} >= latency | {"PSNR, few", "SSIM, many", "change of SR, few"}
    assert check.verdict == "equal"


@pytest.mark.parametrize(("metric", "limit"), [("psnr", 0.002), ("ssim", 0.0001)])
@pytest.mark.parametrize("sign", [-1, 1])
def test_a_single_image_must_not_change_for_better_or_worse(
    reference: Reference, measured: Measured, metric: str, limit: float, sign: int
) -> None:
    for factor, expected in ((0.9, set()), (1.1, {f"{metric.upper()}, many"})):

        def change(frame: pd.DataFrame, amount: float = sign * factor * limit) -> None:
            frame.loc[7, metric] += amount

        assert worse(check_network("now", reference, altered(measured, "quality", change))) == expected


def test_pixels_show_what_quality_does_not(reference: Reference, measured: Measured) -> None:
    def two_values_by_one_step(frame: pd.DataFrame) -> None:
        frame.loc[[40, 44], "green"] += 1  # of the 48 values of image 000

    check = check_network("now", reference, altered(measured, "samples", two_values_by_one_step))
    assert worse(check) == {"change of SR, many"}
    (line,) = (line for line in check.lines if line.verdict == "worse")
    assert line.change == pytest.approx(np.sqrt(2 / 48))
    assert "000" in line.note


def test_identical_images_have_infinite_psnr_and_stay_equal(measured: Measured, tmp_path: Path) -> None:
    perfect = altered(measured, "quality", by("psnr", np.inf))
    stored = references.store_reference("quick/perfect-x4-s0", perfect, "first", root=tmp_path)
    assert check_network("now", stored, perfect).verdict == "equal"
    check = check_network("now", stored, measured)
    assert worse(check) == {"PSNR, many"}
    json.dumps(as_json([check], Tolerance()), allow_nan=False)


# retrained: quality must not get worse


@pytest.mark.parametrize("dataset", SETS)
@pytest.mark.parametrize(("amount", "expected"), [(-0.05, "worse"), (0.05, "better"), (0.001, "equal")])
def test_other_weights_are_judged_by_quality(
    reference: Reference, measured: Measured, dataset: str, amount: float, expected: str
) -> None:
    count = len(SETS[dataset])
    scatter = np.linspace(0.8, 1.2, count)
    check = check_network(
        "now", reference, altered(measured, "quality", by("psnr", amount * scatter, dataset)), retrained=True
    )
    found = verdicts(check)
    assert found.pop(f"PSNR, {dataset}") == expected
    assert set(found.values()) == {"equal"}
    assert not any("SR" in quantity for quantity in found)


def test_where_some_images_gain_and_others_lose_it_stays_open(reference: Reference, measured: Measured) -> None:
    for dataset, images in SETS.items():
        swing = np.resize([-0.5, 0.45], len(images))
        now = altered(measured, "quality", by("psnr", swing, dataset))
        check = check_network("now", reference, now, retrained=True)
        assert verdicts(check)[f"PSNR, {dataset}"] == "inconclusive"
        assert check.verdict == "inconclusive"


def test_paired_differences_see_what_the_spread_of_images_hides(reference: Reference, measured: Measured) -> None:
    loss = -0.02 + np.random.default_rng(1).normal(0, 0.02, 20)  # images differ by 2 dB
    check = check_network("now", reference, altered(measured, "quality", by("psnr", loss)), retrained=True)
    (line,) = (line for line in check.lines if line.quantity == "PSNR, many")
    assert line.verdict == "worse"
    assert line.low < loss.mean() < line.high < 0
    assert line.change == pytest.approx(loss.mean(), abs=1e-6)


def test_a_training_under_another_configuration_is_told_from_the_run(reference: Reference, measured: Measured) -> None:
    again, other, file = (
        replace(measured, network=replace(measured.network, training=training))
        for training in ("2" * 64, "3" * 64, None)
    )
    network = replace(measured, network=NetworkRecord("imdn", 4, {}))
    found = [check_network("now", reference, now).retrained for now in (again, other, file, network)]
    assert found == [False, True, False, True]


# costs


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"parameters": 555_036}, {"parameters": "worse"}),
        ({"parameters": 555_000}, {"parameters": "better"}),
        ({"macs": 78_013_382_209}, {"MACs": "worse"}),
        ({"memory_bytes": 23_000_000}, {}),
        ({"memory_bytes": 24_000_000}, {"peak memory of tensors (MiB)": "worse"}),
        ({"memory_bytes": 20_000_000}, {"peak memory of tensors (MiB)": "better"}),
        ({"timing": timing(1.5)}, {"latency / calibration": "worse"}),
        ({"timing": timing(1 / 1.5)}, {"latency / calibration": "better"}),
        ({"timing": timing(1.05)}, {}),
        ({"timing": timing(1.5, 1.5)}, {}),  # all is slower: the machine
        ({"timing": timing(7, 7, "a slower CPU")}, {}),
        ({"timing": timing(0.2, 0.2, "a faster CPU")}, {}),
        ({"timing": timing(1.25, 1, "another CPU")}, {}),
        ({"timing": timing(1.5, 1, "another CPU")}, {"latency / calibration": "worse"}),
        ({"timing": timing(1.5, 1, "a GPU", "cuda")}, {"latency / calibration": "inconclusive"}),
    ],
)
def test_costs(reference: Reference, measured: Measured, changes: dict[str, Any], expected: dict[str, str]) -> None:
    found = verdicts(check_network("now", reference, cost(measured, **changes)))
    assert {quantity: verdict for quantity, verdict in found.items() if verdict != "equal"} == expected


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.2])
def test_noisy_latency_is_inconclusive(reference: Reference, measured: Measured, slower: float) -> None:
    noise = np.exp(np.random.default_rng(2).normal(0, 1, 15))
    noisy = replace(timing(), forward_s=tuple(slower * FORWARD * noise / np.median(noise)))
    assert (
        verdicts(check_network("now", reference, cost(measured, timing=noisy)))["latency / calibration"]
        == "inconclusive"
    )


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_no_speed_of_a_machine_changes_the_ratio(here: float, there: float) -> None:
    before, now = (Cost(1, 1, timing(speed, speed), 1) for speed in (there, here))
    line = regression._latency(before, now, Tolerance())
    assert line.verdict == "equal"
    assert line.change == pytest.approx(0, abs=1e-9)


def test_without_costs_none_are_compared(measured: Measured, tmp_path: Path) -> None:
    stored = references.store_reference("quick/bicubic-x4-s0", replace(measured, cost=None), "first", root=tmp_path)
    assert {line.unit for line in check_network("now", stored, measured).lines} == {"dB", "", "steps"}


# the rule


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.floats(1e-6, 0.5))
def test_judge(gain: float, below: float, above: float, limit: float) -> None:
    low, high = gain - below, gain + above
    verdict = judge_gain(gain, low, high, limit)
    mirrored = {"better": "worse", "worse": "better"}.get(verdict, verdict)
    assert judge_gain(-gain, -high, -low, limit) == mirrored
    if verdict == "equal":
        assert max(abs(low), abs(high)) <= limit
    elif verdict != "inconclusive":
        assert low * high > 0
        assert abs(gain) > limit


def test_the_worst_line_decides() -> None:
    def of(*found: regression.Verdict) -> Check:
        return Check("n", "r", False, [CheckLine("q", 1, 1, 0, 0, 0, "", verdict) for verdict in found])

    assert [of(*found).verdict for found in (("equal",), ("equal", "better"), ("better", "inconclusive"))] == [
        "equal", "better", "inconclusive",
    ]  # fmt: skip
    assert overall([of("better"), of("inconclusive", "worse")]) == "worse"


# what cannot be compared


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"few": "other"}}, "the images of few, HR or LR, have changed"),
        ({"data": {"Set5": "x"}}, "has no set Set5, expected some of few, many"),
        ({"network": NetworkRecord("spin", 2, {})}, "is at x4, but x2 was measured"),
    ],
)
def test_other_data_are_not_compared(
    reference: Reference, measured: Measured, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResultsError, match=message):
        check_network("now", reference, replace(measured, **change))


def test_missing_images_are_not_compared(reference: Reference, measured: Measured) -> None:
    fewer = replace(measured, quality=measured.quality.iloc[1:])
    with pytest.raises(ResultsError, match=r"quality\.csv: few was measured on other images \(a\)"):
        check_network("now", reference, fewer)


def test_other_pixels_are_not_compared(reference: Reference, measured: Measured) -> None:
    with pytest.raises(ResultsError, match="SR has another size"):
        check_network(
            "now", reference, altered(measured, "samples", lambda frame: frame.update({"row": frame["row"] + 1}))
        )


def test_only_the_sets_measured_now_are_compared(reference: Reference, measured: Measured) -> None:
    few = replace(
        measured,
        data={"few": measured.data["few"]},
        quality=measured.quality[measured.quality["dataset"] == "few"],
        samples=measured.samples[measured.samples["dataset"] == "few"],
    )
    assert not any("many" in quantity for quantity in verdicts(check_network("now", reference, few)))


# what a reader gets


def test_markdown_and_json(reference: Reference, measured: Measured) -> None:
    slower = cost(measured, timing=timing(1.5))
    checks = [check_network("fine", reference, measured), check_network("a|b <script>*", reference, slower)]
    text = markdown(checks)
    assert text.startswith("### Regression check: worse\n")
    assert "19 equal, 1 worse." in text
    assert text.count("<details open>") == 1
    assert "<script>" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {8}
    assert "| latency / calibration |" in text
    assert "+50.0 %" in text
    content = json.loads(json.dumps(as_json(checks, Tolerance()), allow_nan=False))
    assert content["verdict"] == "worse"
    assert [each["verdict"] for each in content["checks"]] == ["equal", "worse"]
    assert content["tolerance"]["psnr"] == 0.002
    (line,) = (line for line in content["checks"][1]["lines"] if line["verdict"] == "worse")
    assert line["quantity"] == "latency / calibration"
    assert line["change"] == pytest.approx(0.5)
    assert line["low"] < 0.5 < line["high"]
