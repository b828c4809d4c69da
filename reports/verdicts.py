"""What a regression check found: lines with a verdict each, as a comment in Markdown and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

CheckVerdict = Literal["equal", "better", "worse", "changed", "inconclusive"]
FAILURES: tuple[CheckVerdict, ...] = ("worse", "changed")
_SIGNS: dict[CheckVerdict, str] = {"equal": "✓", "better": "▲", "worse": "✗", "changed": "≠", "inconclusive": "?"}


@dataclass(frozen=True)
class Tolerance:
    """By how much a line may change and still be equal: dB, SSIM, steps of 8 bit, and fractions of the reference.

    `psnr` and `ssim` apply to each image of the same weights; `psnr_retrained` and `ssim_retrained` are the margins of
    the mean of retrained ones. Ratios of latency hold among processors of one kind; `latency_elsewhere` is for those of
    different names or instruction sets.
    """

    psnr: float = 0.002
    ssim: float = 0.0001
    psnr_retrained: float = 0.05
    ssim_retrained: float = 0.0015
    sr: float = 0.1
    latency: float = 0.2
    latency_elsewhere: float = 0.4
    memory: float = 0.05


@dataclass(frozen=True)
class CheckLine:
    """One quantity: what it was and is, its change with the range that this lies in, and the verdict.

    `change` is in `unit`, or a fraction of the reference where the unit is "%". `low` and `high` are the range over the
    images of the same weights, the 95% interval of the mean of retrained ones, NaN where there is none, and for a
    latency the range of the middle half of its samples.
    """

    quantity: str
    reference: float
    measured: float
    change: float
    low: float
    high: float
    unit: str
    verdict: CheckVerdict
    note: str = ""


@dataclass(frozen=True)
class Check:
    """A network's lines beside the reference of this name."""

    name: str
    reference: str
    retrained: bool
    lines: list[CheckLine]

    @property
    def verdict(self) -> CheckVerdict:
        """The worst of the lines."""
        found = {line.verdict for line in self.lines}
        order: tuple[CheckVerdict, ...] = (*FAILURES, "inconclusive", "better")
        return next((verdict for verdict in order if verdict in found), "equal")


def line_texts(line: CheckLine) -> tuple[str, str, str, str]:
    """A line's reference, measured value, change and range as texts, empty where there is none."""
    digits = {"dB": 4, "": 5, "steps": 3, "%": 3}[line.unit]
    whole = line.quantity in ("parameters", "MACs")
    before, now = (f"{value:,.0f}" if whole else f"{value:.{digits}f}" for value in (line.reference, line.measured))
    factor, digits = (100, 1) if line.unit == "%" else (1, digits)
    change, low, high = (f"{factor * value:+z.{digits}f}" for value in (line.change, line.low, line.high))
    unit = f" {line.unit}" if line.unit else ""
    if math.isnan(line.change):
        return "", "", "", ""
    return before, now, f"{change}{unit}", f"[{low}, {high}]" if line.low < line.high else ""


def as_json(checks: Sequence[Check], tolerance: Tolerance) -> dict[str, Any]:
    """All of it as plain JSON; what is infinite becomes null."""

    def plain(line: CheckLine) -> dict[str, Any]:
        values = asdict(line).items()
        return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values}

    return {
        "verdict": overall(checks),
        "tolerance": asdict(tolerance),
        "checks": [
            {
                "name": check.name,
                "reference": check.reference,
                "retrained": check.retrained,
                "verdict": check.verdict,
                "lines": [plain(line) for line in check.lines],
            }
            for check in checks
        ],
    }


def markdown(checks: Sequence[Check]) -> str:
    """A comment for a pull request: the verdict, and a table per network, folded where nothing has failed."""
    counts = _counted(checks)
    text = [f"### Regression check: {overall(checks)}", "", counts, ""]
    for check in checks:
        title = f"{_cell(check.name)} against {_cell(check.reference)}{' (retrained)' if check.retrained else ''}"
        summary = f"{_SIGNS[check.verdict]} <b>{title}</b>: {check.verdict}"
        text += [f"<details{' open' if check.verdict in FAILURES else ''}><summary>{summary}</summary>", ""]
        text += ["| quantity | reference | now | change | range | verdict | |", "|---|---:|---:|---:|---|---|---|"]
        for line in check.lines:
            cells = (line.quantity, *line_texts(line), f"{_SIGNS[line.verdict]} {line.verdict}", line.note)
            text.append(f"| {' | '.join(map(_cell, cells))} |")
        text += ["", "</details>", ""]
    return "\n".join(text)


def overall(checks: Sequence[Check]) -> CheckVerdict:
    """The worst of all."""
    return Check("", "", False, [line for check in checks for line in check.lines]).verdict


def _counted(checks: Sequence[Check]) -> str:
    verdicts = [line.verdict for check in checks for line in check.lines]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in _SIGNS if verdict in verdicts) + "."


def _cell(text: str) -> str:
    """Text inside a cell of GitHub's Markdown, which also interprets HTML."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\|*_`[]":
        text = text.replace(sign, f"&#{ord(sign)};")
    return " ".join(text.split())
