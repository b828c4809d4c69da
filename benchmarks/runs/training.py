"""The training of a run: what it starts from, alone or together with other processes, and its record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

import models
from benchmarks.data import datasets
from benchmarks.data.patches import PatchBatches
from benchmarks.measure import evaluation, memory
from benchmarks.measure.provenance import Process
from benchmarks.runs.plan import Job
from benchmarks.runs.stages import WEIGHTS, RefusedRun, RunError, Work, network
from benchmarks.training import checkpoints, loop, ranks
from benchmarks.training.determinism import reproducible
from foundation import SpinbenchError
from models.loading import namings, overlapping
from models.weights import read_checkpoint, read_weights
from results import digest, sha256

log = logging.getLogger(__name__)


def train(work: Work) -> None:
    job, process = work.job, work.process
    settings = job.protocol.training
    assert settings is not None  # without it the plan has no such stage
    run, fingerprint = job.run, digest(job.stages["train"])
    checkpoint = run.path("checkpoint.pt")
    inputs: dict[str, str] = {}
    if job.start is not None:
        source = job.start.path(WEIGHTS)
        if not source.is_file():
            raise RunError(f"{run.name} starts from {job.start.name}, which is not trained yet")
        if WEIGHTS in (damage := job.start.damage()):
            raise RunError(f"{run.name} starts from {source}, which is {damage[WEIGHTS]}")
        inputs[f"{job.start.name}/{WEIGHTS}"] = sha256(source)
    elif settings.start_file:
        inputs[settings.start_file.name] = sha256(settings.start_file)
    if not loop.finished(run, fingerprint):  # if finished, it was killed before the training was recorded
        if run.path(WEIGHTS).is_file() and not checkpoint.is_file():
            raise RefusedRun(
                f"{run.path(WEIGHTS)}: is damaged or was trained under other settings, and has no record; "
                "restore it, or train the run again"
            )
        _check_memory(job)
        training, advance = _Training.of(job), work.advance("train")
        ranks.exchange(replace(job, on_phase=None))  # the other processes begin it too (`take_part`)
        try:
            with ranks.one_fate():
                earlier, varying = training.carry_out(
                    process, lambda step: advance(step.iteration, settings.iterations, f"loss {step.loss:.2f}")
                )
        except checkpoints.CheckpointError as error:
            raise RefusedRun(str(error)) from error
        except ranks.Parted as error:
            raise RunError(f"{run.name}: {error}") from error
    else:
        varying = None
        earlier = (checkpoints.load_checkpoint(checkpoint, fingerprint) or {}).get("processes", [])
    files = {file: sha256(run.path(file)) for file in (WEIGHTS, "training.csv") if run.path(file).is_file()}
    facts = process.facts(earlier)
    together = any(one.get("ranks", 1) > 1 for one in (*earlier, facts))
    unlike = ranks.departures(network(job, trained=False).module(), settings.lr_patch, job.device) if together else []
    run.record("train", fingerprint, {**facts, "inputs": inputs, "varying": varying, "unlike": unlike}, files)
    checkpoint.unlink(missing_ok=True)


def _initial(job: Job, model: nn.Module) -> Mapping[str, Tensor] | None:
    """The weights of a warm start: those of a run, or what of a checkpoint has the names and shapes of the network's.

    Raises RunError for a checkpoint of which nothing fits.
    """
    settings = job.protocol.training
    if job.start is not None:
        return read_weights(job.start.path(WEIGHTS))
    if settings is None or settings.start_file is None:
        return None
    checkpoint = read_checkpoint(settings.start_file)
    found, state = overlapping(model, namings(model, models.describe(str(job.variant.model))), checkpoint)
    if not found:
        raise RunError(
            f"{job.run.name}: warm start: nothing in {settings.start_file} has the name and the shape of a tensor of "
            f"{job.variant.model} x{job.run.scale}"
        )
    if remark := checkpoint.remark(state):
        log.info("%s: warm start: %s", job.run.name, remark)
    return found


def take_part(device: Callable[[], torch.device]) -> None:
    """Train together with rank 0, as one of the other processes, whatever it trains, until it says that it has ended.

    `device` is called when a training begins. Raises ranks.Parted if another process failed, loop.TrainingStopped with
    all others, and errors of its own, which the others know then.
    """
    while (job := ranks.exchange()[0]) is not None:
        try:
            with ranks.one_fate():
                job = replace(job, device=device())
                _Training.of(job).carry_out(Process(job.device))
        except loop.TrainingStopped:
            ranks.exchange()  # rank 0 says that it has ended
            raise
        except SpinbenchError:  # such as a loss that is not finite, for all of them
            if ranks.parted():
                raise


@dataclass(frozen=True)
class _Training:
    """What the training of a run begins with, in each of the processes that take part in it."""

    job: Job
    model: nn.Module
    patches: PatchBatches
    initial: Mapping[str, Tensor] | None

    @classmethod
    def of(cls, job: Job) -> _Training:
        settings, run = job.protocol.training, job.run
        assert settings is not None
        part = ranks.share_of(settings.batch_size)
        data = datasets.get(settings.data)
        patches = PatchBatches(
            data, run.scale, settings.lr_patch, settings.batch_size, run.seed, settings.augment, part
        )
        model = network(job, trained=False).module()
        return cls(job, model, patches, _initial(job, model))

    def carry_out(
        self, process: Process, on_step: Callable[[loop.Step], None] | None = None
    ) -> tuple[list[dict[str, Any]], str | None]:
        """The facts of the earlier processes, and why the training varies (`determinism.reproducible`)."""
        job, settings = self.job, self.job.protocol.training
        assert settings is not None
        with reproducible(self.model, settings.lr_patch, job.device) as varying:
            earlier = loop.train(
                job.run,
                self.model,
                self.patches,
                settings,
                device=job.device,
                fingerprint=digest(job.stages["train"]),
                about=_about(job),
                process=process,
                validate=partial(_held_out, job) if settings.validation else None,
                initial=self.initial,
                on_step=on_step,
                on_phase=job.on_phase,
            )
        return earlier, varying


def _held_out(job: Job, model: nn.Module) -> tuple[float, float]:
    """The network's PSNR (dB) and SSIM on the images held out for validation."""
    settings = job.protocol.training
    assert settings is not None and settings.validation is not None
    upscale, data = evaluation.network_upscale(model, job.device), datasets.get(settings.validation.data)
    rows = evaluation.evaluate(upscale, data, job.run.scale, limit=settings.validation.images)
    return float(rows["psnr"].mean()), float(rows["ssim"].mean())


def _check_memory(job: Job) -> None:
    """Raise RunError if a training step needs more memory than a GPU has, before anything is computed."""
    settings = job.protocol.training
    if settings is None or job.device.type != "cuda":
        return
    batch = settings.batch_size // ranks.size()
    needed = memory.step_bytes(network(job, trained=False).module(), batch, settings.lr_patch)
    free = memory.available(job.device)
    share = 0.5 if settings.precision in ("bfloat16", "float16") else 1.0  # at least: weights remain float32
    if needed is not None and share * needed > free:
        raise RunError(
            f"{job.run.name}: a step with batch_size {settings.batch_size} and lr_patch {settings.lr_patch} takes at "
            f"least {share * needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free on {job.device}; expected a "
            "smaller batch, or another card"
        )


def _about(job: Job) -> dict[str, Any]:
    """The description in weights.safetensors, with which the file can be used without its folder."""
    about = {key: job.stages["train"][key] for key in ("config", "scale", "seed")} | {"model": str(job.variant.model)}
    about |= {"ensemble": job.variant.ensemble, "multiple": job.variant.multiple}
    return about | {"protocol": job.run.protocol, "variant": job.run.variant}
