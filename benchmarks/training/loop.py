"""The training loop, from the first patch to weights.safetensors.

The outcome is a function of the network's initial weights, the patches, the protocol's training, the run's seed and
the machine. Patches are a pure function of the iteration, which is therefore the only state of the data loading.
On a CPU, results are reproducible to the bit for the same number of threads; on a GPU within the context of
`determinism.reproducible`, for networks that allow it. The processes of torchrun (`ranks`) take these steps together,
each on its share of the batch; the same number of them gives the same bits.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import results
from ablations.schema import Training
from benchmarks.data.patches import PatchBatches, loader
from benchmarks.measure.precision import algorithms, arithmetic
from benchmarks.measure.provenance import Process
from benchmarks.training import checkpoints, ranks
from benchmarks.training.schedule import learning_rate
from foundation import SpinbenchError
from foundation.signals import noted_signals
from models.spin import cpu
from models.weights import ENTRY, WeightsError, metadata, read_weights, tensors_digest
from results import plain, processes

log = logging.getLogger(__name__)

COLUMNS = ["iteration", "loss", "learning_rate", "seconds", "psnr", "ssim"]
ROWS = 200  # approximate number in training.csv, besides those of the validation
CHECK_EVERY = {"cpu": 1, "cuda": 50}  # iterations between checks of the loss: a check waits for the device


class TrainingError(SpinbenchError):
    """A training that cannot continue; one line with the run, the reason and the last stored state."""


class TrainingStopped(KeyboardInterrupt):
    """A signal to end stopped a training after a complete step, and its state was saved."""


@dataclass(frozen=True)
class Step:
    """A finished step. The loss is on the scale [0, 255]; `seconds` is the time of all steps without validation."""

    iteration: int
    loss: float
    learning_rate: float
    seconds: float


def train(
    run: results.Run,
    model: nn.Module,
    patches: PatchBatches,
    training: Training,
    *,
    device: torch.device,
    fingerprint: str,
    about: Mapping[str, Any] | None = None,
    process: Process | None = None,
    validate: Callable[[nn.Module], tuple[float, float]] | None = None,
    initial: Mapping[str, Tensor] | None = None,
    on_step: Callable[[Step], None] | None = None,
    on_phase: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Train a network according to the protocol; a run with a checkpoint resumes from it to the same bits.

    Returns the facts of the processes that trained the network before this one (`process`), which the checkpoint holds.
    If torchrun started several, each calls it with its share of the patches (`ranks.share_of`), in a context
    `ranks.one_fate`; rank 0 alone writes, validates and logs.

    `model` maps RGB (n, 3, h, w) in [0, 1] to (n, 3, scale h, scale w). It is moved to `device`, and finally has the
    weights that are stored. `fingerprint` identifies all that determines the outcome: a checkpoint with another one is
    refused (`checkpoints.load_checkpoint`). `about` is the description stored in weights.safetensors. `validate`
    returns the PSNR (dB) and SSIM of a network, and is called every `training.validation.every` iterations; it cannot
    affect the training. `initial` holds the weights of a warm start (`warm_start`). `on_step` is called after each
    step, on a GPU after at most 50. `on_phase` is called with the name of each phase of a step at its end: data,
    forward, backward (with the loss), optimiser (with clipping and averaging), validation if there is one, rest.

    Writes to the run's folder: training.csv (the loss is the mean since the previous row), checkpoint.pt meanwhile, and
    finally weights.safetensors (the averaged weights if the training has `ema`); then checkpoint.pt may be removed.

    Raises TrainingError for a loss or gradient that is not finite (the checkpoint of the last good state is kept) and
    for an output of the wrong shape, checkpoints.CheckpointError for a checkpoint that is damaged or does not match,
    results.ResultsError if the run's folder is removed, and TrainingStopped after a signal to end.
    """
    process = process or Process(device)
    first = ranks.rank() == 0
    if first:
        run.folder.mkdir(parents=True, exist_ok=True)
    # The state that changes from step to step
    ranks.with_shared_statistics(model, device).to(device).train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    dtype = parameters[0].dtype
    # on a CPU, an unfused step takes six times as long; on a GPU, it consists of hundreds of small kernels
    optimiser = torch.optim.Adam(parameters, lr=training.learning_rate, betas=training.betas, fused=True)
    scaler = torch.amp.GradScaler(device.type, enabled=training.precision == "float16")
    state: dict[str, Any] = {"model": model, "optimiser": optimiser, "scaler": scaler}
    averaged = None
    if training.ema is not None:
        state["averaged"] = averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(training.ema))
    start, seconds = 0, 0.0
    losses: list[float] = []  # since the previous row
    rows: list[tuple[float | None, ...]] = []
    earlier: list[dict[str, Any]] = []
    checkpoints.seed_generators(ranks.own_seed(run.seed))

    # The checkpoint or the warm start
    path = run.path("checkpoint.pt")
    if stored := checkpoints.load_checkpoint(path, fingerprint):
        try:
            for name, part in state.items():
                part.load_state_dict(stored[name])
            start, seconds, losses, rows = (stored[key] for key in ("iteration", "seconds", "losses", "rows"))
            states = [stored["generators"], *stored.get("other_generators", [])]
            if ranks.rank() < len(states):
                checkpoints.set_generators(states[ranks.rank()], device)
            else:  # fewer processes trained before
                checkpoints.seed_generators(ranks.own_seed(run.seed, start))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise checkpoints.CheckpointError(f"{path}: does not match this training ({reason})") from error
        earlier = stored.get("processes", [])
        log.info("%s: resumes after iteration %d of %d", run.name, start, training.iterations)
        now = process.facts()
        recorded = earlier[-1].get("versions", {}).get("kernels") if earlier else None
        now["versions"] |= {"kernels": cpu.used() or cpu.here(recorded or "")}  # those that this process will use
        for change in processes.changes([*earlier[-1:], now]):
            log.warning("%s: resumes with %s; the last bits may differ from those of one process", run.name, change)
    elif initial is not None:
        left = warm_start(model, initial)
        log.info("%s: warm start; tensors that keep their initialisation: %s", run.name, ", ".join(left) or "none")
    if len(set(ranks.exchange((start, ranks.size() > 1 and tensors_digest(on_cpu(model)))))) > 1:
        raise TrainingError(f"{run.name}: the processes begin with different weights or checkpoints")
    if first:
        _write_rows(run, rows)  # removes the rows that a killed process wrote after its checkpoint

    # Steps
    forward = torch.compile(model) if training.compile else model
    kept = averaged.module if averaged else model
    row_every = max(1, training.iterations // ROWS)
    validate_every = training.validation.every if training.validation and validate else 0
    unchecked: list[tuple[int, float, Tensor]] = []  # iteration, learning rate, (loss, norm of the gradient)
    ended = on_phase or (lambda phase: None)
    saved, clock = start, time.perf_counter() - seconds
    batches = loader(patches, start, training.iterations, training.workers, device, training.data_on_device)
    # closed explicitly: the frame of an exception would keep the workers, and this process would wait forever
    with algorithms(training.cudnn_benchmark), noted_signals() as signals, contextlib.closing(batches):
        for iteration, (lr, hr) in zip(range(start + 1, training.iterations + 1), batches, strict=True):
            ended("data")
            rate = learning_rate(training, iteration)
            for group in optimiser.param_groups:
                group["lr"] = rate
            optimiser.zero_grad(set_to_none=True)
            with arithmetic(device, training.precision):
                sr = forward(lr.to(dtype) / 255)
            if sr.shape != hr.shape:
                raise TrainingError(f"{run.name}: the network gave {tuple(sr.shape)}, expected {tuple(hr.shape)}")
            ended("forward")
            loss = F.l1_loss(255 * sr.to(dtype), hr.to(dtype))
            with arithmetic(device, "tf32" if training.precision == "tf32" else "float32"):  # no autocast backwards
                scaler.scale(loss).backward()
            stop = ranks.reduce(parameters, loss, bool(signals))
            ended("backward")
            scaler.unscale_(optimiser)
            norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
            if training.gradient_clip is not None:
                nn.utils.clip_grads_with_norm_(parameters, training.gradient_clip, norm)
            scaler.step(optimiser)
            scaler.update()
            if averaged:
                averaged.update_parameters(model)
            ended("optimiser")
            unchecked.append((iteration, rate, torch.stack([loss.detach(), norm])))

            # Checks, rows, validation and checkpoints after this step
            save = stop or iteration % training.checkpoint_every == 0
            look = bool(validate_every) and iteration % validate_every == 0
            row = look or iteration % row_every == 0 or iteration == training.iterations
            if not (save or row or iteration % CHECK_EVERY[device.type] == 0):
                continue
            try:
                losses += _finite_losses(unchecked, scaler)
            except ArithmeticError as error:
                good = f"{path}, iteration {saved}" if saved else "none was saved yet"
                raise TrainingError(f"{run.name}: {error}; last good state: {good}") from error
            unchecked.clear()
            seconds = time.perf_counter() - clock
            if on_step:
                on_step(Step(iteration, losses[-1], rate, seconds))
            if row and first:
                quality: tuple[float | None, float | None] = None, None
                if look and validate:
                    ended("rest")
                    quality = _validated(validate, kept, device)
                    ended("validation")
                mean = math.fsum(losses) / len(losses)
                rows.append((iteration, round(mean, 6), rate, round(seconds, 3), *quality))
                _write_rows(run, rows)
            if row:
                losses.clear()
                clock = time.perf_counter() - seconds
            states = ranks.exchange(checkpoints.generators(device)) if save else []
            if save and first:
                content = {name: part.state_dict() for name, part in state.items()}
                content |= {"fingerprint": fingerprint, "iteration": iteration, "seconds": seconds}
                content |= {"losses": losses, "rows": rows, "generators": states[0], "other_generators": states[1:]}
                content["processes"] = [*earlier, plain(process.facts())]
                run.write(path.name, checkpoints.as_bytes(content))
            if save:
                ranks.exchange()  # it is written
                saved = iteration
            ended("rest")
            if stop:
                raise TrainingStopped(
                    f"{run.name}: stopped after iteration {iteration} of {training.iterations}; "
                    "its state is saved, and the run resumes from there"
                )

        # Weights
        ranks.exchange()  # an error of another process in its last step
        if averaged:
            model.load_state_dict(averaged.module.state_dict())
        if not first:
            return earlier
        tensors = on_cpu(model)
        # a single entry, since safetensors writes several in random order
        description = {**(about or {}), "fingerprint": fingerprint, "tensors": tensors_digest(tensors)}
        weights = safetensors.torch.save(tensors, {ENTRY: json.dumps(description, sort_keys=True)})
        run.write("weights.safetensors", weights)
        return earlier


def on_cpu(model: nn.Module) -> dict[str, Tensor]:
    """The network's tensors by name, as they are stored."""
    return {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}


def finished(run: results.Run, fingerprint: str) -> bool:
    """Whether the run has intact weights of this training."""
    path = run.path("weights.safetensors")
    if not path.is_file():
        return False
    try:
        read_weights(path)  # compares the tensors with the digest in the file
        return bool(json.loads(metadata(path)[ENTRY])["fingerprint"] == fingerprint)
    except (WeightsError, ValueError, KeyError, TypeError):
        return False


def warm_start(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[str]:
    """Copy the tensors that match by name and shape into the network; return the names that keep their initialisation.

    It is meant for weights of another scale, whose upsampler differs. Raises TrainingError if no tensor matches.
    """
    own = model.state_dict()
    fitting = {name: tensor for name, tensor in tensors.items() if name in own and tensor.shape == own[name].shape}
    if not fitting:
        raise TrainingError(
            f"warm start: none of {len(tensors)} tensors ({', '.join(list(tensors)[:3])}, ...) matches the network "
            f"by name and shape, expected names such as {', '.join(list(own)[:3])}"
        )
    model.load_state_dict(fitting, strict=False)
    return [name for name in own if name not in fitting]


def _finite_losses(unchecked: list[tuple[int, float, Tensor]], scaler: torch.amp.GradScaler) -> list[float]:
    """The losses as numbers, for which the host waits for the device. Raises ArithmeticError if one is not finite."""
    values = torch.stack([pair for *_, pair in unchecked]).tolist()
    for (iteration, rate, _), (loss, norm) in zip(unchecked, values, strict=True):
        place = f"at iteration {iteration} (learning rate {rate:g})"
        if not math.isfinite(loss):
            raise ArithmeticError(f"loss is {loss} {place}")
        # float16 training skips such a step and lowers the scale, and fails only if the scale falls below 1
        if not math.isfinite(norm) and not (scaler.is_enabled() and scaler.get_scale() >= 1):
            raise ArithmeticError(f"norm of the gradient is {norm} {place}")
    return [loss for loss, _ in values]


def _validated(
    validate: Callable[[nn.Module], tuple[float, float]], model: nn.Module, device: torch.device
) -> tuple[float, float]:
    states = checkpoints.generators(device)
    model.eval()
    psnr, ssim = validate(model)
    model.train()
    checkpoints.set_generators(states, device)
    return float(psnr), float(ssim)


def _write_rows(run: results.Run, rows: list[tuple[float | None, ...]]) -> None:
    table = pd.DataFrame(rows, columns=COLUMNS)
    run.write("training.csv", table.to_csv(index=False, lineterminator="\n"))
