"""Where the time of a training step goes on the device, and that attention runs in PyTorch's fused kernels."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile

import models
from benchmarks.measure.precision import Precision
from tests.gpu.checks.steps import Enough, protocol, train
from tests.gpu.session import Session

FUSED = "aten::_scaled_dot_product_"  # efficient, flash or cudnn attention; on a CPU flash attention for it
UNFUSED = "aten::_scaled_dot_product_attention_math"  # keeps all weights
ATTENTIVE = ("hpinet_m", "swinir_light", "esrt")  # networks with attention besides SPIN
LISTED = 25  # kernels by name
BEFORE = 2  # steps before the one that is recorded


def check(session: Session) -> dict[str, Any]:
    """For a step of SPIN in two precisions and a pass of other networks: launches, ms, and the longest kernels.

    A rehearsal sees the operators of the CPU, and SPIN in bfloat16 only: in float32 it has kernels of its own there.
    """
    precisions: tuple[Precision, ...] = session.sized(("float32", "bfloat16"), ("bfloat16",))
    profiles: dict[str, Any] = {}
    found = {"profiles": profiles}
    for precision in precisions:
        events = _step(session, precision)
        profiles[f"spin step, {precision}"] = _summed(events, session.device) | {"attention": _attention(events)}
        session.keep(found)
    for name in session.sized(ATTENTIVE, ATTENTIVE[1:2]):
        events = _forward(session, name)
        profiles[f"{name} pass, float32"] = _summed(events, session.device) | {"attention": _attention(events)}
        session.keep(found)
    wrong = [f"{label}: {words}" for label, one in profiles.items() if (words := _unfused(one["attention"]))]
    first = next(iter(profiles.values()))
    seen = sorted({name for one in profiles.values() for name in one["attention"]})
    return found | {
        "wrong": wrong,
        "summary": f"{first['launches']} launches and {first['ms']:.1f} ms in a step; {', '.join(seen)}",
    }


def _unfused(attention: dict[str, int]) -> str | None:
    if UNFUSED in attention:
        return f"unfused attention, {attention[UNFUSED]} times"
    return None if attention else "no fused attention"


def _attention(events: list[FunctionEvent]) -> dict[str, int]:
    """The operators of attention, with how often they ran."""
    return dict(Counter(event.name for event in events if event.name.startswith(FUSED)))


def _summed(events: list[FunctionEvent], device: torch.device) -> dict[str, Any]:
    """Launches and ms of the kernels of a GPU, by name; on a CPU those of the operators without their callees."""
    total, launches = Counter[str](), 0
    for event in events:
        if device.type == "cuda" and event.device_type == DeviceType.CUDA:
            total[event.name[:160]] += event.time_range.elapsed_us()
            launches += 1
        elif device.type != "cuda":
            total[event.name] += event.self_cpu_time_total
            launches += 1
    longest = [{"name": name, "ms": round(us / 1e3, 3)} for name, us in total.most_common(LISTED)]
    return {"launches": launches, "ms": round(sum(total.values()) / 1e3, 3), "longest": longest}


def _recorder(device: torch.device) -> profile:
    return profile(activities=[ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda"))


def _step(session: Session, precision: Precision) -> list[FunctionEvent]:
    """The events of one step of the training loop."""
    recorder, begun = _recorder(session.device), 0

    def on_phase(phase: str) -> None:
        nonlocal begun
        begun += phase == "data"
        if phase == "data" and begun == 1 + BEFORE:
            session.synchronise()
            recorder.start()
        elif phase == "data" and begun == 2 + BEFORE:
            session.synchronise()
            recorder.stop()
            raise Enough

    train(session, protocol(session, precision=precision), on_phase)
    return list(recorder.events())


def _forward(session: Session, name: str) -> list[FunctionEvent]:
    model = models.build(name, 4).to(session.device).eval()
    image = torch.rand(1, 3, 48, 48, device=session.device)
    run = partial(model, image)
    with torch.inference_mode():
        session.seconds(run, 1)
        with _recorder(session.device) as recorder:
            run()
            session.synchronise()
    return list(recorder.events())
