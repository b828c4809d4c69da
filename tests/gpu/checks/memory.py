"""Memory: of a training step of the paper's protocol, and of every network's pass for an output of 1280x720."""

from __future__ import annotations

from typing import Any

import models
from benchmarks.measure.macs import lr_size_for
from benchmarks.measure.memory import step_bytes
from benchmarks.measure.peak import peak_memory
from benchmarks.measure.precision import Precision
from tests.gpu.checks.correctness import with_data
from tests.gpu.checks.steps import SCALE, Pace, protocol, train
from tests.gpu.session import Session

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SCALES = (4, 2, 3)


def check(session: Session) -> dict[str, Any]:
    """Bytes: of the allocator in a training (weights, optimiser and the images of the data set among them) beside the
    estimate with which `run` begins, and of a pass without weights and image, by scale and network. A rehearsal records
    no memory of a training."""
    settings = protocol(session)
    estimated = step_bytes(models.build("spin", SCALE), settings.batch_size, session.sized(settings.lr_patch, 24))
    training: dict[str, dict[str, int]] = {}
    passes: dict[str, dict[str, int]] = {}
    found: dict[str, Any] = {"batch": settings.batch_size, "lr_patch": settings.lr_patch, "estimated_bytes": estimated}
    found |= {"training": training, "passes": passes}
    for precision in PRECISIONS:
        row = training[precision] = {}
        with session.peak(row):
            train(session, settings.model_copy(update={"precision": precision}), Pace(session, 1, 2))
        session.keep(found)
    names = with_data(session.sized(models.names(), ["fsrcnn"]))
    for scale in session.sized(SCALES, SCALES[:1]):
        own = passes[f"x{scale}"] = {}
        for name in names:
            if scale in models.describe(name).scales:
                size = session.sized(lr_size_for(scale), (24, 32))
                own[name] = peak_memory(name, scale, {}, size, session.device).bytes
        session.keep(found)
    step = training["float32"].get("peak_bytes", 0) / 2**30
    expected = (estimated or 0) / 2**30
    largest = max(passes["x4"], key=lambda name: passes["x4"][name])
    return found | {
        "summary": f"training, batch {settings.batch_size}: {step:.2f} GiB, estimated {expected:.2f}; "
        f"largest pass at x4: {largest}, {passes['x4'][largest] / 2**20:.0f} MiB"
    }
