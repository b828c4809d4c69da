"""Training steps of SPIN x4 under the paper's protocol, by the training loop itself: time, phases, memory."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn

import ablations
import models
import results
from ablations.schema import Training
from benchmarks.data import datasets
from benchmarks.data.patches import PatchBatches
from benchmarks.measure.precision import Precision
from benchmarks.training import loop
from benchmarks.training.determinism import reproducible
from benchmarks.training.profiling import Profile
from tests.gpu.session import Session

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
SCALE = 4
ITERATIONS = 1_000_000  # as in the paper: rows and checks of the loss are as rare as there


class Enough(Exception):
    """Ends a training whose steps have been counted."""


class Pace:
    """The `on_phase` of a training that ends after `steps` more steps than `before`; `seconds` is the time of those."""

    def __init__(self, session: Session, before: int, steps: int) -> None:
        self.session, self.before, self.last = session, before, before + steps
        self.begun, self.clock, self.seconds = 0, 0.0, 0.0

    def __call__(self, phase: str) -> None:
        if phase != "data":
            return
        if self.begun in (self.before, self.last):
            self.session.synchronise()
            now = time.perf_counter()
            self.clock, self.seconds = now, now - self.clock
            if self.begun == self.last:
                raise Enough
        self.begun += 1


def check(session: Session) -> dict[str, Any]:
    """For each precision: ms of a step and its phases, and where sums may vary in order, steps/s, hours of a million
    steps, most bytes."""
    return steps(session, PRECISIONS, 10)


def steps(session: Session, precisions: tuple[Precision, ...], count: int, **changes: Any) -> dict[str, Any]:
    """As `check`; with `changes` of the training, without phases and sums in any order."""
    measured: dict[str, dict[str, Any]] = {}
    settings = protocol(session, **changes)
    found = {"batch": settings.batch_size, "lr_patch": settings.lr_patch, "steps": measured}
    counts = session.sized((4, count), (1, 1))
    for precision in session.sized(precisions, precisions[-1:]):
        own = settings.model_copy(update={"precision": precision})
        row = measured[precision] = {}
        begin = time.perf_counter()
        pace = Pace(session, *counts)
        with session.peak(row):
            train(session, own, pace)
        each = pace.seconds / counts[1]
        row |= {
            "ms": round(1e3 * each, 3),
            "per_s": round(1 / each, 3),
            "hours_per_million": round(1e6 * each / 3600, 2),
            "seconds_before": round(time.perf_counter() - begin - pace.seconds, 1),  # compilation among them
        }
        session.keep(found)
        if not changes:
            train(session, own, pace := Pace(session, *counts), any_order=True)
            row["any_order_ms"] = round(1e3 * pace.seconds / counts[1], 3)
            row["phases_ms"] = _phases(session, own)
            session.keep(found)
    rates = ", ".join(f"{precision} {row['ms']:.1f}" for precision, row in measured.items())
    return found | {"summary": f"ms per step of batch {settings.batch_size}: {rates}"}


def protocol(session: Session, **changes: Any) -> Training:
    """The paper's training, on the embedded images: what they show is of no matter to the time of a step."""
    settings = ablations.load_protocol("paper").training
    assert settings is not None
    small = {"lr_patch": 16, "batch_size": 1} if session.rehearsal else {}
    usual = {"data": "embedded-train", "workers": 0, "data_on_device": True, "validation": None}
    return settings.model_copy(update={"iterations": ITERATIONS, **usual, **small, **changes})


def train(
    session: Session, settings: Training, on_phase: Callable[[str], None] | None = None, any_order: bool = False
) -> nn.Module:
    """SPIN x4 (in a rehearsal a single block of it), trained to the end or until `on_phase` has enough.

    As in a run, a GPU adds in a fixed order, unless `any_order`.
    """
    patches = PatchBatches(
        datasets.get(settings.data), SCALE, settings.lr_patch, settings.batch_size, 0, settings.augment
    )
    torch.manual_seed(0)
    model = models.build("spin", SCALE, **session.sized({}, {"blocks": 1}))
    order = nullcontext() if any_order else reproducible(model, settings.lr_patch, session.device)
    with tempfile.TemporaryDirectory() as folder, _compiler(session), order, suppress(Enough):
        run = results.Run("gpu", "full", SCALE, 0, root=Path(folder))
        loop.train(run, model, patches, settings, device=session.device, fingerprint="gpu", on_phase=on_phase)
    return model


@contextmanager
def _compiler(session: Session) -> Iterator[None]:
    """A rehearsal traces as ever, but generates no code, which takes minutes on a CPU."""
    compile_ = torch.compile
    if session.rehearsal:
        with mock.patch.object(torch, "compile", lambda model: compile_(model, backend="aot_eager")):
            yield
    else:
        yield


def _phases(session: Session, settings: Training) -> dict[str, float]:
    """Mean ms of each phase, with a synchronisation after each."""
    profile = Profile(session.device)
    pace = Pace(session, *session.sized((4, 4), (3, 1)))

    def both(phase: str) -> None:
        profile(phase)
        pace(phase)

    train(session, settings, both)
    return {name: round(1e3 * seconds, 3) for name, (seconds, _) in profile.phases().items()}
