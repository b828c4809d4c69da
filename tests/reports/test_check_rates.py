"""The regression check of retrained networks raises few false alarms and finds a loss of 0.15 dB."""

from __future__ import annotations

from math import sqrt

import pytest

from tests.reports import check_rates


def test_false_alarms_and_detection_within_their_bounds() -> None:
    rows = check_rates.table(thorough=False)
    assert {row["kind"] for row in rows} == {"false alarms", "detection"}
    for row in rows:
        chance = 3 * sqrt(0.05 * 0.95 / row["experiments"])
        if row["kind"] == "detection":
            assert row["share"] >= row["bound"] - chance, row
        else:
            assert row["share"] <= row["bound"] + chance, row


@pytest.mark.parametrize(("trainings", "least", "most"), [(1, 0.2, 1.0), (3, 0.0, 0.12)])
def test_several_trainings_stop_the_alarms_of_a_network_whose_trainings_differ_much(
    trainings: int, least: float, most: float
) -> None:
    row = check_rates.row("Set14 + BSDS100", trainings, 0.05, 0.05, 0.0, 150, None)
    assert least <= row["share"] <= most
