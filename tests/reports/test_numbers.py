"""Numbers as they are displayed: rounded once, with signs that typography asks for, and a dash for none."""

from __future__ import annotations

import math

from reports.numbers import p_value, shown, signed


def test_numbers_are_rounded_and_a_missing_one_is_a_dash() -> None:
    assert [shown(value, 2) for value in (1234.567, -0.5, math.inf, math.nan, None)] == [
        "1,234.57", "-0.50", "∞", "–", "–",
    ]  # fmt: skip


def test_differences_have_a_sign_unless_they_round_to_zero() -> None:
    assert [signed(value, 2) for value in (0.5, -0.5, 0.001, -0.001, math.inf, -math.inf, math.nan)] == [
        "+0.50", "−0.50", "0.00", "0.00", "+∞", "−∞", "–",
    ]  # fmt: skip


def test_p_values() -> None:
    assert [p_value(p) for p in (math.nan, 1e-9, 0.0412, 1.0)] == ["–", "< 0.001", "0.041", "1.000"]
