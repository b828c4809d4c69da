"""What the stages of a run have in common, and its evaluation."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks import networks
from benchmarks.data.sources import Local
from benchmarks.measure import evaluation
from benchmarks.measure.evaluation import Upscale
from benchmarks.measure.provenance import Process
from benchmarks.networks import Network
from benchmarks.runs.plan import Job
from benchmarks.runs.progress import Advance
from foundation import SpinbenchError
from results import BASELINE, STAGES, as_csv, digest, sha256
from results.quality import joined
from results.state import RunState

BeginStage = Callable[[str, str], Advance]  # run, stage
WEIGHTS = STAGES["train"]


class RunError(SpinbenchError):
    """A run that cannot be executed; one line with the reason."""


class RefusedRun(RunError):
    """A run whose training would have to be repeated, which is done only on request."""


@dataclass(frozen=True)
class Work:
    """An attempt to execute a run: its job, its pending stages, this process, and the report of its progress."""

    job: Job
    todo: RunState
    process: Process
    begin: BeginStage

    def advance(self, stage: str) -> Advance:
        return self.begin(self.job.run.name, stage)


def network(job: Job, trained: bool = True) -> Network:
    """The run's network, with its weights or initialised from the run's seed."""
    variant, run = job.variant, job.run
    if variant.model == BASELINE:
        return networks.bicubic(run.scale)
    if own := networks.given(variant, run.scale):
        found = own
    elif variant.weights == "published":
        found = networks.published(str(variant.model), run.scale)
    else:
        weights = Local(run.path(WEIGHTS)) if trained else None
        training = job.protocol.training
        by_name = training is not None and training.initialisation == "name"
        found = Network(str(variant.model), run.scale, variant.config, weights, seed=run.seed, by_name=by_name)
    return replace(found, ensemble=variant.ensemble, multiple=variant.multiple)


def evaluate(work: Work) -> None:
    job, run = work.job, work.job.run
    if not job.sets:
        raise RunError(f"{run.name}: none of the test sets {job.protocol.evaluation.datasets} is available")
    settings = job.stages["evaluate"]
    common = digest({key: value for key, value in settings.items() if key != "sets"})
    inputs = {WEIGHTS: sha256(run.path(WEIGHTS))} if "train" in job.stages else {}
    record = run.provenance().get("evaluate", {})
    kept = record.get("sets", {}) if (record.get("hash"), record.get("inputs")) == (common, inputs) else {}
    # Each set is recorded as soon as it is measured, so that a long evaluation resumes and sets can be added.
    entries = {name: entry for name, entry in kept.items() if run.intact(entry["file"])}
    missing = [name for name in settings["sets"] if name not in entries or name in work.todo.sets]
    asked = list(settings["sets"])
    order = asked if set(kept) <= set(asked) else [*kept, *asked]

    def keep() -> None:
        """Write quality.csv, the concatenation of the sets, and the record."""
        sets = {name: entries[name] for name in dict.fromkeys(order) if name in entries}
        text = joined([run.path(entry["file"]) for entry in sets.values()])
        files = {entry["file"]: entry["sha256"] for entry in sets.values()}
        files["quality.csv"] = run.write("quality.csv", text)
        run.record("evaluate", common, {**work.process.facts(), "inputs": inputs, "sets": sets}, files)

    if missing:
        # whole images only, since tiles would change the values; an image that exceeds the memory is an error
        upscale = network(job).upscaler(job.device)
        for name in missing:
            entries[name] = _measure(work, name, upscale)
            keep()
    else:
        keep()


def _measure(work: Work, name: str, upscale: Upscale) -> dict[str, str]:
    """Measure one set and store its rows; returns the file, its SHA-256, and the hash of the set's settings."""
    job, advance = work.job, work.advance("evaluate")
    rows = evaluation.evaluate(
        upscale,
        job.sets[name],
        job.run.scale,
        job.protocol.evaluation.conventions,
        lambda done, total, image: advance(done, total, f"{name} {image}"),
        multiple=job.variant.multiple,
    )
    own = digest(job.stages["evaluate"]["sets"][name])
    plain_name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-")[:60]
    whole = digest({**job.stages["evaluate"], "sets": {name: own}})
    file = f"measured/{plain_name}-{whole[:8]}.csv"
    job.run.path(file).parent.mkdir(exist_ok=True)
    written = job.run.write(file, as_csv(rows))
    return {"file": file, "sha256": written, "hash": own}
