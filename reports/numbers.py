"""Numbers as they are displayed, in tables, figures and texts alike."""

from __future__ import annotations

import math
from typing import NamedTuple

NOTHING = "–"  # where there is no number
UNKNOWN = "?"  # where there is one that is not known here


class MarkedNumber(NamedTuple):
    """A number as it is displayed; `mark` is "best", "second" or "", `sd` (over seeds) may be empty."""

    value: str
    mark: str = ""
    sd: str = ""


def shown(value: float | None, decimals: int) -> str:
    """A number with a comma between thousands; a dash where there is none. All rounding happens here."""
    if value is None or math.isnan(value):
        return NOTHING
    return ("-∞" if value < 0 else "∞") if math.isinf(value) else f"{value:,.{decimals}f}"


def signed(value: float, decimals: int) -> str:
    """A difference with its sign; without one if it rounds to zero."""
    text = shown(value, decimals)
    if text == NOTHING or not float(text.replace("∞", "inf").replace(",", "")):
        return text.replace("-", "")
    return text.replace("-", "−") if value < 0 else f"+{text}"


def p_value(p: float) -> str:
    """A p-value with three decimals, or "< 0.001"; a dash where there was no test."""
    if math.isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
