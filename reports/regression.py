"""Whether a network is still what it was: what was measured now against a stored reference, a verdict per line.

Two cases are distinguished. *The same weights* (other code, libraries or machine): nothing may change but rounding,
in either direction, so the pixels of SR are compared as well. *Retrained* ones: quality may not get worse.

Why the tolerances are what they are. SPIN of the protocol `quick` on `embedded-test`, measured with 1, 2 and 3
threads, without oneDNN and in float64: PSNR moved by 1e-5 dB, SSIM by 1e-6, and of the 8-bit values of SR at most 14 in
a million by one step, 0.004 steps root mean square. The faintest fault that has to be found, LR made with another
border, moves SR by 0.23 steps at the sampled pixels and PSNR by 0.0002 dB: only pixels show it. So SR may move by 0.1
steps. 0.002 dB and 0.0001 of SSIM lie far above rounding, and about where a paper's digits end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports.statistics import FEWEST, interval
from results import ResultsError
from results.references import Cost, Measured, Reference

CheckVerdict = Literal["equal", "better", "worse", "inconclusive"]
_SIGNS: dict[CheckVerdict, str] = {"equal": "✓", "better": "▲", "worse": "✗", "inconclusive": "?"}
_KEYS = ["dataset", "image"]
_CHANNELS = ["red", "green", "blue"]


@dataclass(frozen=True)
class Tolerance:
    """By how much a line may change and still be equal: dB, SSIM, steps of 8 bit, and fractions of the reference.

    Ratios of latency hold among processors of one kind; `latency_elsewhere` is for those of different names.
    """

    psnr: float = 0.002
    ssim: float = 0.0001
    sr: float = 0.1
    latency: float = 0.2
    latency_elsewhere: float = 0.4
    memory: float = 0.05


@dataclass(frozen=True)
class CheckLine:
    """One quantity: what it was and is, its change with the interval that this lies in, and the verdict.

    `change` is in `unit`, or a fraction of the reference where the unit is "%".
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
        order: tuple[CheckVerdict, ...] = ("worse", "inconclusive", "better")
        return next((verdict for verdict in order if verdict in found), "equal")


def check_network(
    name: str, reference: Reference, measured: Measured, tolerance: Tolerance | None = None, retrained: bool = False
) -> Check:
    """Compare what was measured with a reference: a line per set and metric, for the pixels of SR, and for each cost.

    It is taken as retrained where that is said, where its run records a training under another configuration than the
    reference's, and where it is another network. Only sets that were measured now are compared. Raises ResultsError
    where reference and measurement are not of the same images at the same scale.
    """
    tolerance = tolerance or Tolerance()
    before = reference.measured
    _check_comparable(reference, measured)
    now, then = measured.network, before.network
    retrained = retrained or now.training not in (None, then.training) or now.model != then.model
    quality = before.quality.merge(measured.quality, on=_KEYS, suffixes=("_before", ""))
    lines = []
    for dataset, rows in quality.groupby("dataset", sort=False):
        lines += [
            _quality(f"PSNR, {dataset}", rows, "psnr", "dB", tolerance.psnr, retrained),
            _quality(f"SSIM, {dataset}", rows, "ssim", "", tolerance.ssim, retrained),
        ]
        if not retrained:  # other weights give other images
            lines.append(_pixels(str(dataset), before.samples, measured.samples, tolerance.sr))
    if before.cost is not None and measured.cost is not None:
        lines += _costs(before.cost, measured.cost, tolerance)
    return Check(name, reference.name, retrained, lines)


def _check_comparable(reference: Reference, measured: Measured) -> None:
    before = reference.measured
    if before.network.scale != measured.network.scale:
        raise ResultsError(
            f"{reference.folder}: is at x{before.network.scale}, but x{measured.network.scale} was measured"
        )
    for name, checksum in measured.data.items():
        if name not in before.data:
            raise ResultsError(f"{reference.folder}: has no set {name}, expected some of {', '.join(before.data)}")
        if before.data[name] != checksum:
            raise ResultsError(f"{reference.folder}: the images of {name}, HR or LR, have changed")
        for table in ("quality", "samples"):
            old, new = (
                set(frame.loc[frame["dataset"] == name, "image"])
                for frame in (getattr(before, table), getattr(measured, table))
            )
            if old != new:
                odd = ", ".join(sorted(old ^ new))
                raise ResultsError(f"{reference.folder / table}.csv: {name} was measured on other images ({odd})")


def _quality(title: str, rows: pd.DataFrame, metric: str, unit: str, limit: float, retrained: bool) -> CheckLine:
    """Higher is better. Without retraining every image has to stay as it was."""
    old, new = rows[f"{metric}_before"].to_numpy(), rows[metric].to_numpy()
    with np.errstate(invalid="ignore"):
        differences = np.where(old == new, 0.0, new - old)  # of infinite ones too
    mean = float(differences.mean())
    worst = int(np.abs(differences).argmax())
    note = f"{len(rows)} images; largest: {rows['image'].iloc[worst]} {differences[worst]:+.2g}"
    low, high = _range(differences)
    if not retrained:
        verdict = _unchanged(differences, limit)
    else:  # of a few images the range replaces the interval
        if len(differences) >= FEWEST and np.isfinite(differences).all():
            low, high = interval(differences)
        verdict = judge_gain(mean, low, high, limit)
    return CheckLine(title, float(old.mean()), float(new.mean()), mean, low, high, unit, verdict, note)


def _pixels(dataset: str, before: pd.DataFrame, now: pd.DataFrame, limit: float) -> CheckLine:
    """The root mean square by which the sampled values of SR differ, of the image where they differ most."""
    columns = [*_KEYS, "row", "column"]
    old, new = (frame[frame["dataset"] == dataset] for frame in (before, now))
    both = old.merge(new, on=columns, suffixes=("_before", ""), how="outer")
    change = both[_CHANNELS].to_numpy(float) - both[[f"{channel}_before" for channel in _CHANNELS]].to_numpy(float)
    if np.isnan(change).any():
        raise ResultsError(f"samples of {dataset}: at other pixels than the reference's, so SR has another size")
    squares = pd.Series((change**2).mean(axis=1)).groupby(both["image"].to_numpy()).mean()
    by_image = np.sqrt(squares)
    most = float(by_image.max())
    verdict = _unchanged(by_image.to_numpy(), limit)
    note = f"root mean square at {len(both) // len(by_image)} pixels; largest: {by_image.idxmax()}"
    return CheckLine(f"change of SR, {dataset}", 0.0, most, most, float(by_image.min()), most, "steps", verdict, note)


def _costs(before: Cost, now: Cost, tolerance: Tolerance) -> list[CheckLine]:
    return [
        _exact("parameters", before.parameters, now.parameters),
        _exact("MACs", before.macs, now.macs),
        _latency(before, now, tolerance),
        _exact("peak memory of tensors (MiB)", before.memory_bytes / 2**20, now.memory_bytes / 2**20, tolerance.memory),
    ]


def _exact(title: str, old: float, new: float, limit: float = 0.0) -> CheckLine:
    """Lower is better, without an interval."""
    change = new / old - 1
    return CheckLine(title, old, new, change, change, change, "%", judge_gain(-change, -change, -change, limit))


def _latency(before: Cost, now: Cost, tolerance: Tolerance) -> CheckLine:
    """Medians of the ratios to the calibration. The interval comes from the quartiles of both: noise widens it."""
    (q1_old, old, q3_old), (q1, new, q3) = (
        np.quantile(np.divide(timing.forward_s, timing.calibration_s), [0.25, 0.5, 0.75]).tolist()
        for timing in (before.timing, now.timing)
    )
    change, low, high = new / old - 1, q1 / q3_old - 1, q3 / q1_old - 1
    there, here = before.timing.device_name, now.timing.device_name
    limit, note = tolerance.latency, f"{1000 * np.median(now.timing.forward_s):.0f} ms on {here}"
    if there != here:
        limit, note = tolerance.latency_elsewhere, f"{note}; the reference on {there}"
    verdict = judge_gain(-change, -high, -low, limit)
    if before.timing.device != now.timing.device or before.timing.lr_size != now.timing.lr_size:
        verdict = "inconclusive"
    return CheckLine("latency / calibration", old, new, change, low, high, "%", verdict, note)


def judge_gain(gain: float, low: float, high: float, limit: float) -> CheckVerdict:
    """The verdict on a gain (more is better) that lies between `low` and `high`.

    equal: the whole interval is within the limit. better, worse: the gain is beyond the limit, and the interval on one
    side of zero. Else inconclusive.
    """
    if -limit <= low and high <= limit:
        return "equal"
    if gain > limit and low > 0:
        return "better"
    if gain < -limit and high < 0:
        return "worse"
    return "inconclusive"


def _unchanged(differences: NDArray[np.float64], limit: float) -> CheckVerdict:
    return "equal" if bool((np.abs(differences) <= limit).all()) else "worse"


def _range(differences: NDArray[np.float64]) -> tuple[float, float]:
    return float(differences.min()), float(differences.max())


def line_texts(line: CheckLine) -> tuple[str, str, str, str]:
    """A line's reference, measured value, change and interval as texts."""
    digits = {"dB": 4, "": 5, "steps": 3, "%": 3}[line.unit]
    whole = line.quantity in ("parameters", "MACs")
    before, now = (f"{value:,.0f}" if whole else f"{value:.{digits}f}" for value in (line.reference, line.measured))
    factor, digits = (100, 1) if line.unit == "%" else (1, digits)
    change, low, high = (f"{factor * value:+z.{digits}f}" for value in (line.change, line.low, line.high))
    unit = f" {line.unit}" if line.unit else ""
    return before, now, f"{change}{unit}", "" if line.low == line.high else f"[{low}, {high}]"


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
    """A comment for a pull request: the verdict, and a table per network, folded where nothing is worse."""
    counts = _counted(checks)
    text = [f"### Regression check: {overall(checks)}", "", counts, ""]
    for check in checks:
        title = f"{_cell(check.name)} against {_cell(check.reference)}{' (retrained)' if check.retrained else ''}"
        summary = f"{_SIGNS[check.verdict]} <b>{title}</b>: {check.verdict}"
        text += [f"<details{' open' if check.verdict == 'worse' else ''}><summary>{summary}</summary>", ""]
        text += ["| quantity | reference | now | change | interval | verdict | |", "|---|---:|---:|---:|---|---|---|"]
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
