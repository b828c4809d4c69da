"""Whether a network is still what it was: what was measured now against a stored reference, a verdict per line.

Two cases are distinguished. *The same weights* (other code, libraries or machine): nothing may change but rounding,
in either direction, so the pixels of SR are compared as well. *Retrained* ones: quality may not get worse than
trainings differ (`reports.retraining`).

Why the tolerances for the same weights are what they are. SPIN of the protocol `quick` on `embedded-test`, measured
with 1, 2 and 3 threads, without oneDNN and in float64: PSNR moved by 1e-5 dB, SSIM by 1e-6, and of the 8-bit values of
SR at most 14 in a million by one step, 0.004 steps root mean square. The faintest fault that has to be found, LR made
with another border, moves SR by 0.23 steps at the sampled pixels and PSNR by 0.0002 dB: only pixels show it. So SR may
move by 0.1 steps. 0.002 dB and 0.0001 of SSIM lie far above rounding, and about where a paper's digits end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reports import retraining
from reports.costs import PYTORCH
from reports.verdicts import Check, CheckLine, CheckVerdict, Tolerance
from results import ResultsError
from results.references import Cost, Measured, Reference, Timing

_KEYS = ["dataset", "image"]
_CHANNELS = ["red", "green", "blue"]


def check_network(
    name: str,
    reference: Reference,
    measured: Measured,
    tolerance: Tolerance | None = None,
    retrained: bool = False,
    others: Sequence[Reference] = (),
) -> Check:
    """Compare what was measured with a reference: a line per set and metric, for the pixels of SR, and for each cost.

    It is taken as retrained where that is said, where it is a run whose weights are other bytes than the reference's,
    and where it is another network. `others` are further trainings of the reference, which count for retrained ones on
    the sets that they have. Only sets that were measured now are compared. Raises ResultsError where reference and
    measurement are not of the same images at the same scale.
    """
    tolerance = tolerance or Tolerance()
    before = reference.measured
    _check_comparable(reference, measured)
    now, then = measured.network, before.network
    retrained = retrained or (now.training is not None and now.weights != then.weights) or now.model != then.model
    lines = []
    if retrained:
        lines += _retrained(reference, others, measured, tolerance)
    else:
        quality = before.quality.merge(measured.quality, on=_KEYS, suffixes=("_before", ""))
        for dataset, rows in quality.groupby("dataset", sort=False):
            lines += [
                _same(f"PSNR, {dataset}", rows, "psnr", "dB", tolerance.psnr),
                _same(f"SSIM, {dataset}", rows, "ssim", "", tolerance.ssim),
                _pixels(str(dataset), before.samples, measured.samples, tolerance.sr),
            ]
        if now.weights != then.weights:
            lines[0] = replace(lines[0], note=f"{lines[0].note}; the weights' file is not the reference's")
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


def _same(title: str, rows: pd.DataFrame, metric: str, unit: str, limit: float) -> CheckLine:
    """Of the same weights, every image has to stay as it was: a change is neither better nor worse."""
    old, new = rows[f"{metric}_before"].to_numpy(), rows[metric].to_numpy()
    differences = retraining.gains(old[:, None], new)
    low, high = float(differences.min()), float(differences.max())
    note = f"{len(rows)} images; {_largest(rows['image'], differences)}"
    verdict = _unchanged(differences, limit)
    return CheckLine(
        title, float(old.mean()), float(new.mean()), float(differences.mean()), low, high, unit, verdict, note
    )


def _retrained(
    reference: Reference, others: Sequence[Reference], measured: Measured, tolerance: Tolerance
) -> list[CheckLine]:
    """The mean of each set and metric; all of them are judged together."""
    compared = []
    for dataset, rows in measured.quality.groupby("dataset", sort=False):
        trainings = [reference] + [
            other for other in others if other.measured.data.get(str(dataset)) == measured.data[str(dataset)]
        ]
        tables = [other.measured.quality.set_index(_KEYS) for other in trainings]
        for metric, unit, margin in (
            ("psnr", "dB", tolerance.psnr_retrained),
            ("ssim", "", tolerance.ssim_retrained),
        ):
            at = pd.MultiIndex.from_frame(rows[_KEYS])
            before = np.column_stack([table[metric].reindex(at).to_numpy(float) for table in tables])
            now = rows[metric].to_numpy(float)
            change = retraining.change(before, now, margin)
            manner = (
                "one training each" if len(tables) == 1 else f"the reference is the mean of {len(tables)} trainings"
            )
            counted = f"{len(rows)} images" + ("" if len(rows) >= retraining.FEWEST else ", too few for an interval")
            largest = _largest(rows["image"], retraining.gains(before, now))
            note = f"{counted}; {manner}; margin {change.margin:.2g}; {largest}"
            compared.append((f"{metric.upper()}, {dataset}", before, now, change, unit, note))
    verdicts = retraining.verdicts([change for *_, change, _, _ in compared])
    return [
        CheckLine(
            title, float(before.mean()), float(now.mean()), change.mean, change.low, change.high, unit, verdict, note
        )
        for (title, before, now, change, unit, note), verdict in zip(compared, verdicts, strict=True)
    ]


def _largest(images: pd.Series, differences: NDArray[np.float64]) -> str:
    index = int(np.abs(differences).argmax())
    return f"largest: {images.iloc[index]} {differences[index]:+.2g}"


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
        *_latencies(before.timings, now.timings, tolerance),
        _exact("peak memory of tensors (MiB)", before.memory_bytes / 2**20, now.memory_bytes / 2**20, tolerance.memory),
    ]


def _exact(title: str, old: float, new: float, limit: float = 0.0) -> CheckLine:
    """Lower is better, without an interval."""
    change = new / old - 1
    return CheckLine(title, old, new, change, change, change, "%", judge_gain(-change, -change, -change, limit))


def _latencies(before: dict[str, Timing], now: dict[str, Timing], tolerance: Tolerance) -> list[CheckLine]:
    """A line for each implementation that both were timed in.

    Kernels are compiled for a processor, the calibration is not: on another processor only PyTorch is compared.
    """
    if PYTORCH not in before:
        note = "the reference does not say which implementation was timed; store it anew"
        return [CheckLine("latency / calibration", *5 * (math.nan,), "%", "inconclusive", note)]
    lines = [_latency(PYTORCH, before[PYTORCH], now[PYTORCH], tolerance)]
    for own in before.keys() - {PYTORCH}:
        if own in now and _place(before[own]) == _place(now[own]):
            lines.append(_latency(own, before[own], now[own], tolerance))
        else:
            why = "another processor" if own in now else "not in use here"
            lines[0] = replace(lines[0], note=f"{lines[0].note}; {own} not compared: {why}")
    return lines


def _place(timing: Timing) -> str:
    return f"{timing.device_name} {timing.instructions}".strip()


def _latency(implementation: str, before: Timing, now: Timing, tolerance: Tolerance) -> CheckLine:
    """Medians of the ratios to the calibration. The range comes from the quartiles of both: noise widens it."""
    (q1_old, old, q3_old), (q1, new, q3) = (
        np.quantile(np.divide(timing.forward_s, timing.calibration_s), [0.25, 0.5, 0.75]).tolist()
        for timing in (before, now)
    )
    change, low, high = new / old - 1, q1 / q3_old - 1, q3 / q1_old - 1
    limit, note = tolerance.latency, f"{1000 * np.median(now.forward_s):.0f} ms on {_place(now)}"
    if _place(before) != _place(now):
        limit, note = tolerance.latency_elsewhere, f"{note}; the reference on {_place(before)}"
    verdict = judge_gain(-change, -high, -low, limit)
    if before.device != now.device or before.lr_size != now.lr_size:
        verdict = "inconclusive"
    return CheckLine(f"latency / calibration, {implementation}", old, new, change, low, high, "%", verdict, note)


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
    return "equal" if bool((np.abs(differences) <= limit).all()) else "changed"
