"""Carrying out one run: train, evaluate, cost, whatever of it is still to be done."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import torch
from filelock import FileLock, Timeout
from torch import nn

import models
from benchmarks import cost, evaluation, provenance, published, training
from benchmarks.data import datasets
from benchmarks.data.patches import PatchSampler
from benchmarks.evaluation import Upscale
from benchmarks.plan import Job
from benchmarks.progress import Advance
from benchmarks.tiling import Fitted
from foundation import SpinbenchError
from models.weights import read_weights
from results import BASELINE, digest, write

Watch = Callable[[str, str], Advance]  # run, stage


class RunError(SpinbenchError):
    """A run that cannot be carried out; one line that says why."""


def execute(job: Job, watch: Watch, say: Callable[[str], None]) -> bool:
    """Finish a run: what is finished stays, what is stale is set aside or done again, an interrupted training resumes.

    Returns False if there was nothing to do. Raises RunError if another process is at work on the run, and
    whatever a stage raises; what was stored before stays.
    """
    run = job.run
    if not run.state(job.stages).pending:
        return False
    lock = run.folder.parent / f".{run.name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock, timeout=0):
            state = run.state(job.stages)
            for reason in state.reasons:
                say(f"{run.name} is stale: {reason}")
            if any(reason.startswith("train:") for reason in state.reasons):
                say(f"{run.name}: the old run is kept in {run.set_aside()}")
                state = run.state(job.stages)
            run.describe(job.header, job.stages)
            for stage in state.pending:
                started = datetime.now(UTC)
                _STAGES[stage](job, watch(run.name, stage))
                run.record(stage, job.stages[stage], provenance.collect(started, job.device))
            return bool(state.pending)
    except Timeout:
        raise RunError(f"{run.name}: another process is at work on it ({lock})") from None


def network(job: Job, trained: bool = True) -> nn.Module:
    """The run's network on the CPU: with its weights, or freshly initialised from the run's seed."""
    if job.variant.weights == "published":
        return published.network(str(job.variant.model), job.run.scale)
    torch.manual_seed(job.run.seed)
    model = models.build(str(job.variant.model), job.run.scale, **job.variant.config)
    if trained:
        model.load_state_dict(read_weights(job.run.path("weights.safetensors")))
    return model


def _train(job: Job, advance: Advance) -> None:
    settings = job.protocol.training
    assert settings is not None  # else the plan has no such stage
    run, fingerprint = job.run, digest(job.stages["train"])
    if training.finished(run, fingerprint):  # killed after the last step, before it was recorded
        return
    sampler = PatchSampler(
        datasets.get(settings.data), run.scale, settings.lr_patch, settings.batch_size, run.seed, settings.augment
    )
    initial = None
    if job.start is not None:
        source = job.start.path("weights.safetensors")
        if not source.is_file():
            raise RunError(f"{run.name} starts from {job.start.name}, which is not trained yet")
        initial = read_weights(source)

    def validate(model: nn.Module) -> tuple[float, float]:
        assert settings.validation is not None
        upscale = evaluation.network_upscale(model, job.device)
        held_out = datasets.get(settings.validation.data)
        rows = evaluation.evaluate(upscale, held_out, run.scale, limit=settings.validation.images)
        return float(rows["psnr"].mean()), float(rows["ssim"].mean())

    training.train(
        run,
        network(job, trained=False),
        sampler,
        settings,
        device=job.device,
        fingerprint=fingerprint,
        validate=validate if settings.validation else None,
        initial=initial,
        on_step=lambda step: advance(step.iteration, settings.iterations, f"loss {step.loss:.2f}"),
        on_phase=job.on_phase,
    )


def _evaluate(job: Job, advance: Advance) -> None:
    if not job.sets:
        raise RunError(f"{job.run.name}: none of the test sets {job.protocol.evaluation.datasets} is at hand")
    upscale: Upscale
    if job.variant.model == BASELINE:
        upscale = evaluation.bicubic_upscale(job.run.scale)
    else:
        # whole images only, as tiles would change the figures; one that cannot fit is refused
        upscale = Fitted(
            network(job),
            job.run.scale,
            job.device,
            least=models.describe(str(job.variant.model)).smallest_input,
            tile="off",
            say=lambda manner: None,
        )
    if job.variant.ensemble:
        upscale = evaluation.self_ensemble(upscale)
    # Each set is kept as soon as it is measured: a long evaluation resumes, and another set is measured on top.
    parts = []
    for name in job.sets:

        def progress(done: int, total: int, image: str, name: str = name) -> None:
            advance(done, total, f"{name} {image}")

        kept = job.run.path(f"measured/{name}-{_digest_of_set(job, name)[:8]}.csv")
        if not kept.is_file():
            dataset, conventions = datasets.get(name), job.protocol.evaluation.conventions
            rows = evaluation.evaluate(
                upscale, dataset, job.run.scale, conventions, progress, multiple=job.variant.multiple
            )
            write(kept, rows.to_csv(index=False, lineterminator="\n"))
        parts.append(kept.read_text(encoding="utf-8").splitlines(keepends=True))
    write(job.run.path("quality.csv"), "".join([parts[0][0], *(line for part in parts for line in part[1:])]))


def _digest_of_set(job: Job, name: str) -> str:
    """Of all that determines a run's quality on one set."""
    stage = job.stages["evaluate"]
    rest = {key: value for key, value in stage.items() if key not in ("data", "images", "missing")}
    return digest({**rest, "data": stage["data"][name], "missing": stage["missing"].get(name, [])})


def _cost(job: Job, advance: Advance) -> None:
    settings = job.protocol.costing
    measured = cost.measure(
        str(job.variant.model),
        job.run.scale,
        job.variant.config,
        job.device,
        latency_lr=settings.latency_lr,
        repeats=settings.repeats,
        warmup=settings.warmup,
        memory=settings.memory,
    )
    write(job.run.path("cost.json"), json.dumps(measured, indent=1))


_STAGES: dict[str, Callable[[Job, Advance], None]] = {"train": _train, "evaluate": _evaluate, "cost": _cost}
