"""The card, its driver and its ceilings: memory bandwidth, and matrix products in each precision."""

from __future__ import annotations

import os
import subprocess
from functools import partial
from typing import Any

import torch

from benchmarks.measure.precision import Precision, arithmetic
from tests.gpu.session import Session

PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bfloat16")
FIELDS = (
    "name", "driver_version", "compute_mode", "power.limit", "clocks.sm", "clocks.max.sm", "clocks.mem",
    "temperature.gpu", "ecc.mode.current",
)  # fmt: skip


def check(session: Session) -> dict[str, Any]:
    """Versions, the card as the driver describes it, and ceilings in bytes/s and FLOP/s (a multiply-add counts 2)."""
    found: dict[str, Any] = {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "driver": _driver(),
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
    rates = ", ".join(f"{precision} {rate / 1e12:.1f}" for precision, rate in products.items())
    return found | {"summary": f"copy {found['copy_bytes_per_s'] / 1e12:.2f} TB/s; TFLOP/s: {rates}"}


def _driver() -> dict[str, str]:
    """What the driver's tool says of the first card; nothing without it."""
    try:
        command = ["nvidia-smi", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.splitlines()
        return dict(zip(FIELDS, (value.strip() for value in lines[0].split(",")), strict=True))
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return {}


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
