"""A stored run carried out again from nothing but its folder, and the comparison of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ablations import Experiment, Protocol, Variant
from ablations.schema import FROM_FILE
from benchmarks.runs.orchestrator import available_sets
from benchmarks.runs.places import Place
from benchmarks.runs.plan import Job, plan, without_stages
from foundation import SpinbenchError
from results import STAGES, Run, processes
from results.quality import read_quality
from results.run import changed_settings

WEIGHTS, QUALITY = STAGES["train"], STAGES["evaluate"]


class ReproductionError(SpinbenchError):
    """A run that cannot be carried out again; one line with the reason."""


@dataclass(frozen=True)
class Reproduction:
    """`same` has for each file whether it has the same bytes; `psnr` for each set the change of its mean PSNR in dB.

    `changes` are differences between the machines and versions of both that decide the last bits.
    """

    same: Mapping[str, bool]
    psnr: Mapping[str, float]
    changes: tuple[str, ...]


def jobs_for(run: Run, root: Path) -> list[Job]:
    """The jobs that make the run anew below `root`: its training and evaluation, after that of the run it starts from.

    Raises ReproductionError for a run that was not trained here or is not finished, and where it would be another one:
    data or code are no longer those of the run.
    """
    description = run.description() or {}
    stages = description.get("stages", {})
    if "train" not in stages or not {"train", "evaluate"} <= set(run.provenance()):
        raise ReproductionError(f"{run.folder}: expected a run that was trained and evaluated")
    if damage := run.damage():
        raise ReproductionError(f"{run.folder}: is damaged ({', '.join(damage)})")
    if description.get("source") != "run" or "training_data" not in description:
        raise ReproductionError(f"{run.folder}: its run.yaml does not name what it was trained on")
    experiment, protocol = _definitions(run, description)
    scale = run.scale
    start = protocol.training.start_scale if protocol.training else None
    sets = {
        each: available_sets(protocol.evaluation.datasets, each) for each in {scale, scale if start is None else start}
    }
    found = plan(
        experiment, run.protocol, protocol, scales=[scale], seeds=[run.seed], device=Place().kind, sets=sets, root=root
    )
    jobs = [without_stages(job, ["train", "evaluate"]) for job in found if "train" in job.stages]
    (wanted,) = (job for job in jobs if job.run.scale == scale)
    for stage in ("train", "evaluate"):
        if changes := changed_settings(stages[stage], wanted.stages[stage]):
            raise ReproductionError(f"{run.folder}: {stage}: is no longer possible as it was ({'; '.join(changes)})")
    return jobs


def _definitions(run: Run, description: Mapping[str, Any]) -> tuple[Experiment, Protocol]:
    stages = description["stages"]
    train, evaluate = stages["train"], stages["evaluate"]
    try:
        variant = Variant(
            label=description["label"],
            model=description.get("network_file", train["model"]),
            config=train["config"],
            ensemble=evaluate["ensemble"],
            multiple=evaluate["multiple"],
        )
        told = f"the run of {run.folder}"
        experiment = Experiment.model_validate(
            {
                **{key: told for key in ("title", "source", "caption")},
                "kind": "table",
                "label": "tab:again",
                "scales": [run.scale],
                "datasets": list(evaluate["sets"]),
                "reference": run.variant,
                "variants": {run.variant: variant},
            }
        )
        training = dict(train["training"])
        if training.get("warm_start") == FROM_FILE:
            training["warm_start"] = description["warm_start_file"]
        protocol = Protocol.model_validate(
            {
                **{key: told for key in ("title", "summary", "cost", "expect")},
                "seeds": [run.seed],
                "training": {**training, "data": description["training_data"], "checkpoint_every": 100},
                "evaluation": {"datasets": list(evaluate["sets"]), "conventions": evaluate["conventions"]},
            },
            strict=False,
        )
    except KeyError as error:
        raise ReproductionError(f"{run.folder}: run.yaml: {error} is missing") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ReproductionError(f"{run.folder}: run.yaml: {place}: {first['msg']}") from error
    return experiment, protocol


def compared(run: Run, again: Run) -> Reproduction:
    """A run beside the one that was made anew."""
    same = {
        file: again.path(file).read_bytes() == run.path(file).read_bytes()
        for file in (WEIGHTS, QUALITY)
        if run.path(file).is_file()
    }
    if WEIGHTS not in same:  # removed to save room; its SHA-256 is recorded
        records = [one.provenance()["train"]["products"][WEIGHTS] for one in (run, again)]
        same = {WEIGHTS: records[0] == records[1], **same}
    rows = [read_quality(one.path(QUALITY)) for one in (run, again)]
    means = [table.groupby(["dataset", "convention"]).psnr.mean() for table in rows]
    change = (means[1] - means[0]).fillna(0.0)  # infinite in both
    psnr = {f"{dataset}, {convention}": float(value) for (dataset, convention), value in change.items()}
    records = [one.provenance()["train"] for one in (run, again)]
    return Reproduction(same, psnr, tuple(processes.changes(records)))
