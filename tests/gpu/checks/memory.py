"""Memory: of a training step of the paper's protocol, and of every network's pass for an output of 1280x720."""

from __future__ import annotations

from typing import Any

import models
from benchmarks.measure.cost import lr_size_for, peak_memory
from benchmarks.measure.precision import Precision
from tests.gpu.checks.correctness import with_data
from tests.gpu.checks.steps import Pace, protocol, train
from tests.gpu.session import Session

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
SCALES = (4, 2, 3)


def check(session: Session) -> dict[str, Any]:
    """Bytes: of the allocator in a training (weights, optimiser and the images of the data set among them), and of a
    pass without weights and image, by scale and network. A rehearsal records no memory of a training."""
    training: dict[str, dict[str, int]] = {}
    passes: dict[str, dict[str, int]] = {}
    settings = protocol(session)
    found = {"batch": settings.batch_size, "lr_patch": settings.lr_patch, "training": training, "passes": passes}
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
    largest = max(passes["x4"], key=lambda name: passes["x4"][name])
    return found | {
        "summary": f"training, batch {settings.batch_size}: {step:.2f} GiB; "
        f"largest pass at x4: {largest}, {passes['x4'][largest] / 2**20:.0f} MiB"
    }
