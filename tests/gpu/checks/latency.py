"""The latency of every network at an output of 1280x720, at three scales."""

from __future__ import annotations

from typing import Any

import torch

import models
from benchmarks.measure.devices import clocks, software_facts
from benchmarks.measure.latency import latency
from benchmarks.measure.macs import lr_size_for
from tests.gpu.checks.correctness import with_data
from tests.gpu.session import Session

REPEATS = {4: 21, 2: 6, 3: 6}  # by scale


def check(session: Session) -> dict[str, Any]:
    """What `measure.latency` measures, by scale and network, with random weights."""
    networks: dict[str, dict[str, Any]] = {}
    about = {**software_facts(session.device), "clocks": {"before": clocks(session.device)}}
    found: dict[str, Any] = {**about, "networks": networks}
    names = with_data(session.sized(models.names(), ["spin", "fsrcnn"]))
    for scale in session.sized(tuple(REPEATS), (4,)):
        own = networks[f"x{scale}"] = {}
        for name in names:
            if scale in models.describe(name).scales:
                torch.manual_seed(0)
                size = session.sized(lr_size_for(scale), (24, 32))
                model = models.build(name, scale)
                timed = latency(model, size, session.device, *session.sized((REPEATS[scale], 0.5), (1, 0.0)))
                own[name] = {"title": models.describe(name).title, **timed.record()}
        found["clocks"]["after"] = clocks(session.device)
        session.keep(found)
    spin = networks["x4"]["spin"]
    return found | {"summary": f"{len(networks['x4'])} networks; SPIN x4 {1e3 * spin['median_s']:.2f} ms"}
