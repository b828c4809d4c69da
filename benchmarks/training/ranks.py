"""The processes that torchrun started, which train a run together, each with its share of every batch.

Without torchrun a process is alone: what it says is heard by itself, and nothing is computed otherwise. Gradients are
averaged by PyTorch (gloo on CPUs, nccl on GPUs). Everything else is said by `exchange`, to which all processes come at
the same points of a training, so that they stop, save and fail together; it never waits for a GPU.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from threading import Event
from types import FrameType
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmarks.measure import devices
from foundation import SpinbenchError, one_line

_PATIENCE = timedelta(
    days=30
)  # others wait while rank 0 fetches data or validates; the death of one is noticed at once
_parted = Event()  # set once this process can no longer train together with the others


class RankError(SpinbenchError):
    """Why processes cannot train together; one line."""


class Parted(RankError):
    """Another process failed or ended, so that these no longer train together."""


@dataclass(frozen=True)
class _Failed:
    """What a process says in place of anything else once it has failed."""

    rank: int
    error: str
    trace: str


class _Remote(Exception):
    """The traceback of another process, as the cause of an error."""


def launched() -> bool:
    """Whether torchrun started this process."""
    return dist.is_available() and dist.is_torchelastic_launched()


def size() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0; only rank 0 writes and reports."""
    return dist.get_rank() if size() > 1 else 0


def parted() -> bool:
    """Whether this process can no longer train together with the others, since one of them failed or ended."""
    return _parted.is_set()


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """A context in which the processes of torchrun work together; without torchrun it does nothing.

    When rank 0 leaves it, the others hear None instead of the next training. While an error of another process is
    handled, the SIGTERM that torchrun then sends is ignored.
    """
    if not launched():
        yield
        return
    nccl = torch.cuda.is_available() and dist.is_nccl_available()
    dist.init_process_group("cpu:gloo,cuda:nccl" if nccl else "gloo", timeout=_PATIENCE)

    def end(number: int, _frame: FrameType | None) -> None:
        if not parted():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        if rank() == 0 and not parted():
            with contextlib.suppress(Parted):
                exchange(None)
        signal.signal(signal.SIGTERM, signal.SIG_IGN if parted() else before)
        if not parted():
            dist.destroy_process_group()


def exchange(message: Any = None) -> list[Any]:
    """What all processes say at this point, by rank. Raises Parted if one of them has failed or ended."""
    if size() == 1:
        return [message]
    said: list[Any] = [None] * size()
    with _noticing_an_end():
        dist.all_gather_object(said, message)
    failed = [one for one in said if isinstance(one, _Failed)]
    if failed and not isinstance(message, _Failed):
        _parted.set()
        raise Parted(f"rank {failed[0].rank}: {failed[0].error}") from _Remote(f"\n{failed[0].trace}")
    return said


@contextlib.contextmanager
def one_fate() -> Iterator[None]:
    """A context whose errors reach the other processes, at their next exchange.

    After an error that all of them raise, such as a loss that is not finite, they still work together.
    """
    try:
        yield
    except Parted:
        raise
    except Exception as error:
        known = isinstance(error, SpinbenchError | OSError)
        text = one_line(error) if known else f"{type(error).__name__}: {one_line(error)}"
        with contextlib.suppress(Parted):
            said = exchange(_Failed(rank(), text, traceback.format_exc()))
            if not all(isinstance(one, _Failed) for one in said):
                _parted.set()
        raise


def share_of(batch_size: int) -> slice:
    """The patches of a batch that this process trains on. Raises RankError unless all shares are equal."""
    if batch_size % size():
        raise RankError(
            f"{size()} processes cannot share a batch_size of {batch_size}, expected a number of processes that "
            "divides it (--nproc-per-node)"
        )
    share = batch_size // size()
    return slice(rank() * share, (rank() + 1) * share)


def reduce(parameters: Sequence[nn.Parameter], loss: Tensor, stop: bool) -> bool:
    """Average the gradients and the loss over the processes, in place; whether one of them was asked to stop.

    With equal shares this is the gradient of the whole batch. One that only some processes have is zero in the others.
    """
    if size() == 1:
        return stop
    lacking = [number for number, parameter in enumerate(parameters) if parameter.grad is None]
    said = exchange((stop, lacking))
    for number in set(lacking) - set.intersection(*(set(one[1]) for one in said)):
        parameters[number].grad = torch.zeros_like(parameters[number])
    parts = [loss.detach(), *(parameter.grad for parameter in parameters if parameter.grad is not None)]
    flat = torch.cat([part.reshape(-1) for part in parts])  # one sum instead of hundreds
    with _noticing_an_end():
        dist.all_reduce(flat)
    flat /= size()
    for part, mean in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
        part.copy_(mean.view_as(part))
    return any(one[0] for one in said)


def own_seed(seed: int, iteration: int = 0) -> int:
    """The seed of this process's generators: in rank 0 that of the run, elsewhere one that differs in every process.

    From another `iteration` on, where no state of the generators is stored, it is another one.
    """
    return seed if rank() == 0 else int(np.random.SeedSequence((seed, rank(), iteration)).generate_state(1)[0])


def with_shared_statistics(model: nn.Module, device: torch.device) -> nn.Module:
    """The network with BatchNorm over the whole batch, if several processes share it and PyTorch can: on GPUs alone."""
    shared = size() > 1 and device.type == "cuda"
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model) if shared else model
    return converted


def departures(model: nn.Module, lr_patch: int, device: torch.device) -> list[str]:
    """Why several processes train this network otherwise than one would, but for rounding: a text for each reason.

    Whether it draws random numbers is found by a pass of a copy over an image of `lr_patch` pixels a side.
    """
    found = []
    if device.type != "cuda" and any(isinstance(part, _BatchNorm) for part in model.modules()):
        found.append("BatchNorm saw the share of each process instead of the batch")
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards), torch.no_grad():
        image = torch.rand(1, 3, lr_patch, lr_patch, device=device)
        before = _states(device)
        copy.deepcopy(model).to(device).train()(image)
        if not all(torch.equal(old, new) for old, new in zip(before, _states(device), strict=True)):
            found.append("each process drew random numbers of its own")
    return found


def device_name(asked: str) -> str:
    """The device of this process when `asked` is given to all of them: each has a GPU of its own.

    Raises RankError for a certain GPU, and for more processes than GPUs.
    """
    if size() == 1 or asked == "cpu" or (asked == "auto" and not torch.cuda.is_available()):
        return asked
    if asked not in ("auto", "cuda"):
        raise RankError(f"--device {asked}: {size()} processes need a GPU each, expected auto, cuda or cpu")
    local, count = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
    if local > count:
        raise RankError(f"--device {asked}: {local} processes on this machine, and PyTorch sees {count} GPUs")
    return f"cuda:{os.environ['LOCAL_RANK']}"


def threads(asked: int | None) -> int | None:
    """The threads of this process: those asked for, or its share of the cores; None as PyTorch chooses.

    Another value of OMP_NUM_THREADS than the 1 that torchrun sets by itself is kept.
    """
    if asked is not None or size() == 1 or os.environ.get("OMP_NUM_THREADS", "1") != "1":
        return asked
    return max(1, devices.cores() // int(os.environ["LOCAL_WORLD_SIZE"]))


@contextlib.contextmanager
def _noticing_an_end() -> Iterator[None]:
    if parted():
        raise Parted("the processes no longer work together")
    try:
        yield
    except RuntimeError as error:
        _parted.set()
        others = "the other process" if size() == 2 else f"one of the other {size() - 1} processes"
        raise Parted(f"{others} ended without an error of its own; torchrun says how") from error


def _states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(device)] if device.type == "cuda" else states
