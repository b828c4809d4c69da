"""Texts in CSV files, which people open with spreadsheets: no cell is computed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pandas as pd

# what a spreadsheet computes, and what looks as if it had been protected from it already
_COMPUTED = r"'*(?:[=+@-].|[\t\r])"


def as_csv(frame: pd.DataFrame) -> str:
    """The rows as CSV. A text that a spreadsheet would compute, such as =1+1, follows an apostrophe."""
    return str(frame.map(_as_text).to_csv(index=False, lineterminator="\n"))


def as_written(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """The rows of such a file with the texts of these columns as they were before."""
    return frame.assign(**{name: frame[name].str.replace(rf"^'(?={_COMPUTED})", "", regex=True) for name in columns})


def _as_text(cell: Any) -> Any:
    if not isinstance(cell, str) or not re.match(_COMPUTED, cell):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return cell
