"""Where an experiment is executed on a Slurm cluster: what `spinbench run --executor slurm --cluster FILE` reads."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ablations.fields import Positive, Strict

_TIME = re.compile(
    r"(?:(?P<days>\d+)-(?P<of_day>\d{1,2})|(?P<hours>\d+)(?=:\d+:))(?::(?P<minutes>[0-5]\d))?(?::[0-5]\d)?"
)


def _in_quotes(value: Any) -> Any:
    """YAML reads 14:00:00 without quotes as a number of seconds, and 30 as a number, which for Slurm are minutes."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError('expected hours:minutes:seconds or days-hours in quotes, such as "04:00:00" or "2-12"')
    return value


def _in_one_line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"expected text on one line (found {value!r})")
    return value


# What the suite says to sbatch itself, and what a run on a GPU is told by: `gres`
_RESERVED = {
    "array", "cpus-per-task", "dependency", "error", "exclusive", "gpus", "gpus-per-node", "gpus-per-task", "gres",
    "job-name", "mem", "nodes", "ntasks", "ntasks-per-node", "open-mode", "output", "requeue", "no-requeue", "signal",
    "time", "partition", "account", "qos", "wrap",
}  # fmt: skip


def _not_reserved(options: dict[str, Any]) -> dict[str, Any]:
    for key in options:
        name = key.replace("_", "-")
        if name in _RESERVED:
            known = (
                "gres says which GPUs" if name.startswith("gpus") else "the suite says it itself, or a key of its own"
            )
            raise ValueError(f"{key} cannot be an option: {known}")
    return options


Time = Annotated[str, BeforeValidator(_in_quotes)]
Line = Annotated[str, AfterValidator(_in_one_line)]
Word = Annotated[str, Field(pattern=r"^[^\s\x00-\x1f]+$")]
Memory = Annotated[str, Field(pattern=r"^[1-9]\d*[KMGT]B?$")]


class Cluster(Strict):
    """What a job of Slurm asks for. A job executes one run, or measures the costs, or renders the report."""

    partition: Word | None = Field(default=None, description="as of sbatch; none: the cluster's own")
    account: Word | None = Field(default=None, description="who is charged")
    qos: Word | None = Field(default=None, description="quality of service, as of sbatch")
    gres: Word | None = Field(default=None, description="for a run and for the costs, such as gpu:1; none: on CPUs")
    time: Time = Field(description='the longest time of a job, in quotes: "04:00:00", "2-12"; a training resumes')
    cpus: Positive = Field(default=1, description="cores of a run, and its threads")
    memory: Memory | None = Field(default=None, description="of a run, such as 16G")
    parallel: Positive | None = Field(default=None, description="runs at the same time; none: as many as Slurm allows")
    warning: Positive = Field(default=120, description="seconds before the end of its time at which a job is told")
    setup: list[Line] = Field(default=[], description="lines of shell before a job, such as module load cuda")
    options: Annotated[dict[Word, bool | int | Line], AfterValidator(_not_reserved)] = Field(
        default={}, description="other options of sbatch, such as constraint: a100"
    )
    scratch: Line | None = Field(
        default=None, description="a folder on the node's own disk for decoded training images, such as $TMPDIR"
    )

    @model_validator(mode="after")
    def _told_in_time(self) -> Cluster:
        if self.warning >= 60 * self.minutes:
            raise ValueError(f"warning: {self.warning} seconds are not less than the time of a job, {self.time}")
        return self

    @property
    def gpu(self) -> bool:
        """Whether a run is executed on a GPU."""
        return any(kind in (self.gres or "") for kind in ("gpu", "shard", "mps"))

    @property
    def minutes(self) -> int:
        """The longest time of a job; seconds are left out."""
        found = _TIME.fullmatch(self.time)
        assert found
        hours = 24 * int(found["days"]) + int(found["of_day"]) if found["days"] else int(found["hours"])
        return max(1, 60 * hours + int(found["minutes"] or 0))
