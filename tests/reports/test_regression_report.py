"""What the regression check does not compare, and what a reader gets of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reports.regression import check_network
from reports.verdicts import Tolerance, as_json, markdown
from results import ResultsError
from results.references import Measured, NetworkRecord, Reference
from tests.reports.check_cases import (
    altered,
    cost,
    timing,
    verdicts,
)

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
    slower = cost(measured, timings=timing(1.5, kernels=0.5 / 1.5))
    checks = [check_network("fine", reference, measured), check_network("a|b <script>*", reference, slower)]
    text = markdown(checks)
    assert text.startswith("### Regression check: worse\n")
    assert "21 equal, 1 worse." in text
    assert text.count("<details open>") == 1
    assert "<script>" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {8}
    assert "| latency / calibration, PyTorch |" in text
    assert "+50.0 %" in text
    content = json.loads(json.dumps(as_json(checks, Tolerance()), allow_nan=False))
    assert content["verdict"] == "worse"
    assert [each["verdict"] for each in content["checks"]] == ["equal", "worse"]
    assert (content["tolerance"]["psnr"], content["tolerance"]["psnr_retrained"]) == (0.002, 0.05)
    (line,) = (line for line in content["checks"][1]["lines"] if line["verdict"] == "worse")
    assert line["quantity"] == "latency / calibration, PyTorch"
    assert line["change"] == pytest.approx(0.5)
    assert line["low"] < 0.5 < line["high"]
