"""Verdicts of the regression check on synthetic measurements: what must be found, and what must stay quiet."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import regression
from reports.regression import check_network, judge_gain
from reports.verdicts import Check, CheckLine, CheckVerdict, Tolerance, as_json, markdown, overall
from results import references
from results.references import Measured, NetworkRecord, Reference
from tests.reports.check_cases import (
    FORWARD,
    SETS,
    SPREAD,
    altered,
    by,
    changed,
    cost,
    timing,
    verdicts,
)

# the same weights: nothing may change


def test_the_same_again_is_equal(reference: Reference, measured: Measured) -> None:
    check = check_network("now", reference, measured)
    latency = {"latency / calibration, PyTorch", "latency / calibration, C++ kernels"}
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

        assert changed(check_network("now", reference, altered(measured, "quality", change))) == expected


def test_pixels_show_what_quality_does_not(reference: Reference, measured: Measured) -> None:
    def two_values_by_one_step(frame: pd.DataFrame) -> None:
        frame.loc[[40, 44], "green"] += 1  # of the 48 values of image 000

    check = check_network("now", reference, altered(measured, "samples", two_values_by_one_step))
    assert changed(check) == {"change of SR, many"}
    (line,) = (line for line in check.lines if line.verdict == "changed")
    assert line.change == pytest.approx(np.sqrt(2 / 48))
    assert "000" in line.note


def test_identical_images_have_infinite_psnr_and_stay_equal(measured: Measured, tmp_path: Path) -> None:
    perfect = altered(measured, "quality", by("psnr", np.inf))
    stored = references.store_reference("quick/perfect-x4-s0", perfect, "first", root=tmp_path)
    assert check_network("now", stored, perfect).verdict == "equal"
    check = check_network("now", stored, measured)
    assert changed(check) == {"PSNR, many"}
    json.dumps(as_json([check], Tolerance()), allow_nan=False)


# retrained: quality must not get worse


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(-0.1, "worse"), (0.1, "better"), (-0.02, "equal"), (0.0139, "equal"), (-0.05, "inconclusive")],
)
def test_other_weights_are_judged_by_quality(
    reference: Reference, measured: Measured, amount: float, expected: str
) -> None:
    now = altered(measured, "quality", by("psnr", amount * np.linspace(0.8, 1.2, 20)))
    check = check_network("now", reference, now, retrained=True)
    found = verdicts(check)
    assert found.pop("PSNR, many") == expected
    assert set(found.values()) == {"equal"}
    assert not any("SR" in quantity for quantity in found)
    (line,) = (line for line in check.lines if line.quantity == "PSNR, many")
    assert "20 images; one training each; margin 0.05; largest: 019" in line.note


@pytest.mark.parametrize(("amount", "expected"), [(-1.0, "inconclusive"), (1.0, "inconclusive"), (0.03, "equal")])
def test_two_images_prove_nothing(reference: Reference, measured: Measured, amount: float, expected: str) -> None:
    now = altered(measured, "quality", by("psnr", amount, "few"))
    check = check_network("now", reference, now, retrained=True)
    assert verdicts(check)["PSNR, few"] == expected
    (line,) = (line for line in check.lines if line.quantity == "PSNR, few")
    assert np.isnan(line.low)
    assert "2 images, too few for an interval" in line.note
    assert "nan" not in markdown([check])
    json.dumps(as_json([check], Tolerance()), allow_nan=False)


def test_where_some_images_gain_and_others_lose_it_stays_open(reference: Reference, measured: Measured) -> None:
    for dataset, images in SETS.items():
        swing = np.resize([-0.5, 0.45], len(images))
        now = altered(measured, "quality", by("psnr", swing, dataset))
        check = check_network("now", reference, now, retrained=True)
        assert verdicts(check)[f"PSNR, {dataset}"] == "inconclusive"
        assert check.verdict == "inconclusive"


def test_paired_differences_see_what_the_spread_of_images_hides(reference: Reference, measured: Measured) -> None:
    loss = -0.07 + np.random.default_rng(1).normal(0, 0.02, 20)  # images differ by 2 dB
    check = check_network("now", reference, altered(measured, "quality", by("psnr", loss)), retrained=True)
    (line,) = (line for line in check.lines if line.quantity == "PSNR, many")
    assert line.verdict == "worse"
    assert line.low < loss.mean() < line.high < -0.05
    assert line.change == pytest.approx(loss.mean(), abs=1e-6)


def test_a_training_is_told_from_the_bytes_of_its_weights(reference: Reference, measured: Measured) -> None:
    """Also the same training, repeated elsewhere. A file that does not say of which run it is stands for the same."""
    network = measured.network
    again = [
        network,
        replace(network, training="3" * 64),
        replace(network, weights="4" * 64),
        replace(network, weights="4" * 64, training=None),
        NetworkRecord("imdn", 4, {}),
    ]
    found = [check_network("now", reference, replace(measured, network=each)) for each in again]
    assert [check.retrained for check in found] == [False, False, True, False, True]
    told = ["the weights' file is not the reference's" in check.lines[0].note for check in found]
    assert told == [False, False, False, True, False]


def test_the_reference_may_have_several_trainings(reference: Reference, measured: Measured, tmp_path: Path) -> None:
    loss = altered(measured, "quality", by("psnr", -0.12 + SPREAD[2:] / 50))
    assert verdicts(check_network("now", reference, loss, retrained=True))["PSNR, many"] == "worse"
    for seed, shift in ((1, -0.1), (2, -0.2)):
        other = altered(measured, "quality", by("psnr", shift))
        references.store_reference(f"quick/full-x4-s{seed}", other, "another seed", root=tmp_path)
    small = replace(measured, network=replace(measured.network, config={"blocks": 4}))
    references.store_reference("quick/full-x4-s3", small, "another network", root=tmp_path)
    references.store_reference("quick/patch-x4-s1", measured, "another variant", root=tmp_path)
    others = references.trainings_of(reference, tmp_path)
    assert [other.name for other in others] == ["quick/full-x4-s1", "quick/full-x4-s2"]
    check = check_network("now", reference, loss, retrained=True, others=others)
    (line,) = (line for line in check.lines if line.quantity == "PSNR, many")
    assert line.verdict == "equal"
    assert line.change == pytest.approx((-0.12 + SPREAD[2:] / 50).mean() + 0.1, abs=1e-6)
    assert "the reference is the mean of 3 trainings" in line.note
    one_set_less = [replace(other, measured=replace(other.measured, data={"few": "few" * 3})) for other in others]
    check = check_network("now", reference, loss, retrained=True, others=one_set_less)
    assert verdicts(check)["PSNR, many"] == "worse"


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
        ({"timings": timing(1.5, kernels=0.5 / 1.5)}, {"latency / calibration, PyTorch": "worse"}),
        ({"timings": timing(1 / 1.5, kernels=0.5 * 1.5)}, {"latency / calibration, PyTorch": "better"}),
        ({"timings": timing(kernels=0.75)}, {"latency / calibration, C++ kernels": "worse"}),
        ({"timings": timing(kernels=0)}, {}),
        ({"timings": timing(1.05)}, {}),
        ({"timings": timing(1.5, 1.5)}, {}),  # all is slower: the machine
        ({"timings": timing(7, 7, "a slower CPU")}, {}),
        ({"timings": timing(0.2, 0.2, "a faster CPU")}, {}),
        ({"timings": timing(1.25, 1, "another CPU", kernels=9)}, {}),
        ({"timings": timing(1.5, 1, "another CPU")}, {"latency / calibration, PyTorch": "worse"}),
        ({"timings": timing(1.5, 1, "a GPU", "cuda")}, {"latency / calibration, PyTorch": "inconclusive"}),
    ],
)
def test_costs(reference: Reference, measured: Measured, changes: dict[str, Any], expected: dict[str, str]) -> None:
    found = verdicts(check_network("now", reference, cost(measured, **changes)))
    assert {quantity: verdict for quantity, verdict in found.items() if verdict != "equal"} == expected


def test_kernels_are_compared_on_one_processor_only(reference: Reference, measured: Measured) -> None:
    for timings, why in (
        (timing(kernels=0), "C++ kernels not compared: not in use here"),
        (timing(device_name="another CPU"), "C++ kernels not compared: another processor"),
        (
            {name: replace(one, instructions="AVX512") for name, one in timing(kernels=2).items()},
            "the reference on a CPU AVX2; C++ kernels not compared: another processor",
        ),
    ):
        check = check_network("now", reference, cost(measured, timings=timings))
        assert check.verdict == "equal"
        assert [why in line.note for line in check.lines if "latency" in line.quantity] == [True]


def test_a_reference_of_the_first_format_has_no_latency_to_compare(measured: Measured, tmp_path: Path) -> None:
    """It does not say whether SPIN was timed in PyTorch or in its kernels."""
    old = references.store_reference("quick/old-x4-s0", cost(measured, timings={}), "first", root=tmp_path)
    found = verdicts(check_network("now", old, measured))
    assert found.pop("latency / calibration") == "inconclusive"
    assert set(found.values()) == {"equal"}
    assert "nan" not in markdown([check_network("now", old, measured)])


@pytest.mark.parametrize("slower", [0.9, 1.0, 1.2])
def test_noisy_latency_is_inconclusive(reference: Reference, measured: Measured, slower: float) -> None:
    noise = np.exp(np.random.default_rng(2).normal(0, 1, 15))
    noisy = {"PyTorch": replace(timing()["PyTorch"], forward_s=tuple(slower * FORWARD * noise / np.median(noise)))}
    found = verdicts(check_network("now", reference, cost(measured, timings=noisy)))
    assert found["latency / calibration, PyTorch"] == "inconclusive"


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_no_speed_of_a_machine_changes_the_ratio(here: float, there: float) -> None:
    before, now = (timing(speed, speed) for speed in (there, here))
    for line in regression._latencies(before, now, Tolerance()):
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
    def of(*found: CheckVerdict) -> Check:
        return Check("n", "r", False, [CheckLine("q", 1, 1, 0, 0, 0, "", verdict) for verdict in found])

    assert [of(*found).verdict for found in (("equal",), ("equal", "better"), ("better", "inconclusive"))] == [
        "equal", "better", "inconclusive",
    ]  # fmt: skip
    assert overall([of("inconclusive"), of("better", "changed")]) == "changed"
    assert overall([of("changed"), of("inconclusive", "worse")]) == "worse"
