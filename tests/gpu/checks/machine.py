"""The card, its driver and its ceilings: memory bandwidth, and matrix products in each precision."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import torch

from benchmarks.measure import devices
from benchmarks.measure.precision import Precision, arithmetic
from tests.gpu.session import Session

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")


def check(session: Session) -> dict[str, Any]:
    """Versions, the card and its clocks, and ceilings in bytes/s and FLOP/s (a multiply-add counts 2)."""
    found: dict[str, Any] = {
        **devices.device_facts(session.device),
        **devices.software_facts(session.device),
        "cpus": os.cpu_count(),
        "clocks": {"before": devices.clocks(session.device)},
    }
    if session.device.type == "cuda":
        card = torch.cuda.get_device_properties(session.device)
        found |= {
            "multiprocessors": card.multi_processor_count,
            "memory_bytes": card.total_memory,
            "capability": f"{card.major}.{card.minor}",
        }
    session.keep(found)
    found |= {"copy_bytes_per_s": _copy(session)}
    products = found["matmul_flops"] = {precision: _product(session, precision) for precision in PRECISIONS}
    found["clocks"]["after"] = devices.clocks(session.device)
    rates = ", ".join(f"{precision} {rate / 1e12:.1f}" for precision, rate in products.items())
    return found | {"summary": f"copy {found['copy_bytes_per_s'] / 1e12:.2f} TB/s; TFLOP/s: {rates}"}


def _copy(session: Session) -> float:
    """Bytes read and written."""
    source = torch.rand(session.sized(2**30, 2**20), device=session.device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / session.seconds(partial(target.copy_, source), 10)


def _product(session: Session, precision: Precision) -> float:
    edge = session.sized(8192, 256)
    left, right = (torch.randn(edge, edge, device=session.device) for _ in range(2))
    if precision == "bfloat16":
        left, right = left.bfloat16(), right.bfloat16()
    with arithmetic(session.device, "tf32" if precision == "tf32" else "float32"):
        return 2 * edge**3 / session.seconds(partial(torch.matmul, left, right), 5)
