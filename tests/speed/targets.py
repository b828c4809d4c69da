"""Speed targets of SPIN, measured beside the dense reference: the one file `speed-targets.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from ablations.fields import Positive, Scale, Size, Strict
from reports.speed import power
from results import ROOT, ResultsError, write

FILE = "speed-targets.json"
More = Annotated[float, Field(gt=0)]


class TargetVerdict(Strict):
    """A target, what was measured and what it was to be."""

    name: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit


class Timing(Strict):
    """Seconds of every repetition in order, and as GEMM-equivalents: times the MACs/s of a large matrix product.

    The product is timed right before and after each repetition. `memory_bytes` is the peak of a fresh process, less
    what it holds after importing.
    """

    samples_s: list[More] = Field(min_length=1)
    gemm_equivalents: list[More] = Field(min_length=1, description="in 10⁹ MACs, one per sample")
    memory_bytes: Positive

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.samples_s) != len(self.gemm_equivalents):
            raise ValueError("samples_s and gemm_equivalents of different lengths")
        return self

    @property
    def median_s(self) -> float:
        return float(np.median(self.samples_s))

    @property
    def median_equivalents(self) -> float:
        return float(np.median(self.gemm_equivalents))


class Figure(Strict):
    """What the official code took on another quiet machine with two cores, and the limits for ours."""

    official_equivalents: More | None
    official_bytes: Positive | None
    most_equivalents: More | None
    most_deviation: More | None = Field(None, description="of dense from the official ones, as a share")
    least_ratio: More | None
    most_bytes: Positive


class Work(Strict):
    """Something that SPIN does, ours and as the dense reference does it; no dense one where that cannot run."""

    name: str
    scale: Scale
    lr_size: Size = Field(description="height and width")
    batch: Positive
    step: bool = Field(description="a training step, not a forward pass")
    macs: Positive = Field(description="of the forward pass over the batch")
    ours: Timing
    dense: Timing | None
    target: Figure

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the dense reference, from what both took in turns."""
        if self.dense is None:
            return None
        return self.dense.median_equivalents / self.ours.median_equivalents

    @property
    def effort(self) -> TargetVerdict | None:
        """The GEMM-equivalents, where they have a limit."""
        most = self.target.most_equivalents
        if most is None:
            return None
        return TargetVerdict(name=self.name, measured=self.ours.median_equivalents, limit=most, unit="GMAC-equivalents")

    @property
    def likeness(self) -> TargetVerdict | None:
        """How far the dense reference is off the official figure, where that is limited: a ratio rests on it."""
        official, most = self.target.official_equivalents, self.target.most_deviation
        if self.dense is None or official is None or most is None:
            return None
        measured = abs(self.dense.median_equivalents / official - 1)
        return TargetVerdict(
            name=f"{self.name}, dense", measured=measured, limit=most, unit="off the official, as a share"
        )

    @property
    def gain(self) -> TargetVerdict | None:
        """The ratio, where it has a limit and is known."""
        least = self.target.least_ratio
        if least is None or self.ratio is None:
            return None
        unit = "times as fast as dense"
        return TargetVerdict(name=self.name, measured=self.ratio, limit=least, unit=unit, at_least=True)

    @property
    def memory(self) -> TargetVerdict:
        """The peak memory."""
        measured, limit = self.ours.memory_bytes / 1e9, self.target.most_bytes / 1e9
        return TargetVerdict(name=self.name, measured=measured, limit=limit, unit="GB")

    def macs_per_s(self, timing: Timing) -> float | None:
        """Of one of its timings; None for a training step, since `macs` are only a part of what that takes."""
        return None if self.step else self.macs / timing.median_s


class Reduced(Strict):
    """The forward pass of `work` in bfloat16 autocast: seconds beside those of float32, and PSNR against its output."""

    work: str
    dtype: str
    samples_s: list[More] = Field(min_length=1)
    float32_s: list[More] = Field(min_length=1)
    psnr_db: float = Field(description="of the output against that of float32, of the value range 1")

    @property
    def median_s(self) -> float:
        return float(np.median(self.samples_s))

    @property
    def float32_median_s(self) -> float:
        return float(np.median(self.float32_s))


class Growth(Strict):
    """Seconds and MACs at several LR sizes (height, width); `limit` is of the exponent of time less that of MACs."""

    scale: Scale
    sizes: list[Size] = Field(min_length=2)
    seconds: list[More]
    macs: list[Positive]
    limit: More

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not len(self.sizes) == len(self.seconds) == len(self.macs):
            raise ValueError("sizes, seconds and macs of different lengths")
        if len({height * width for height, width in self.sizes}) < 2:
            raise ValueError("sizes of the same number of pixels")
        return self

    def exponent(self, values: Sequence[float]) -> float:
        """p of values ~ pixels^p, by least squares on logarithms."""
        return power([height * width for height, width in self.sizes], values)

    @property
    def beyond(self) -> TargetVerdict:
        """By how much the exponent of time is larger than that of MACs."""
        measured = self.exponent(self.seconds) - self.exponent(self.macs)
        name = f"growth at ×{self.scale}, exponent of time less that of MACs"
        return TargetVerdict(name=name, measured=measured, limit=self.limit, unit="")


class Part(Strict):
    """Time of one part of the network in the first work."""

    name: str
    seconds: More


class Operation(Strict):
    """An operation beside a straightforward formulation, best of several in seconds; `limit` is the least ratio."""

    name: str
    seconds: More
    direct_seconds: More
    limit: More

    @property
    def ratio(self) -> float:
        return self.direct_seconds / self.seconds

    @property
    def gain(self) -> TargetVerdict:
        """The ratio."""
        unit = "times as fast as written out plainly"
        return TargetVerdict(name=self.name, measured=self.ratio, limit=self.limit, unit=unit, at_least=True)


class Targets(Strict):
    """All that was measured in one go on one machine."""

    device_name: str
    threads: Positive
    torch: str
    python: str
    gemm_edge: Positive = Field(description="of the two square matrices that the product is of")
    gemm_macs_per_s: More
    works: list[Work] = Field(min_length=1)
    reduced: Reduced | None
    growth: Growth
    parts: list[Part]
    operations: list[Operation]

    def verdicts(self) -> list[TargetVerdict]:
        """Every target, in order."""
        of_works = [
            verdict
            for work in self.works
            for verdict in (work.effort, work.gain, work.memory, work.likeness)
            if verdict
        ]
        return [*of_works, self.growth.beyond, *(operation.gain for operation in self.operations)]


def load_targets(root: Path = ROOT) -> Targets | None:
    """What was measured last, or None. Raises ResultsError for a damaged file."""
    path = root / FILE
    if not path.is_file():
        return None
    try:
        return Targets.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise ResultsError(f"{path}: {place}: {first['msg']}") from error


def store_targets(targets: Targets, root: Path = ROOT) -> Path:
    """Replace what was measured before."""
    path = root / FILE
    write(path, json.dumps(targets.model_dump(mode="json"), indent=2) + "\n")
    return path
