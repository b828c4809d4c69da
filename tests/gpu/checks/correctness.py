"""Every network on the device in float32 beside itself in float64 on the CPU, and the gradients of SPIN."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

import models
from benchmarks.data.images import DataError
from benchmarks.data.registry import entries
from benchmarks.data.sources import Published
from tests.gpu.session import Session

# An error may be so many times that of float32 on the CPU: another order of sums changes little, TF32 a thousand times
# as much. A fixed limit would not do, since an untrained ELAN amplifies the rounding of its input by 10⁴.
FACTOR = 20.0
DRAWS = 5  # of weights and image, where a superpixel selects pixels: in one of a dozen, float32 swaps two near a tie
LEAST = 1e-6  # of the CPU's error, relative as all of them; algorithms of cuDNN may lose a digit
VARIANTS: dict[str, dict[str, Any]] = {
    "only ISPA": {"spca": False, "blocks": 2},
    "parallel": {"arrangement": "parallel", "blocks": 2},
    "SVQ": {"reach": "all", "blocks": 2},
    "patch": {"spca": False, "ispa": False, "blocks": 2},
}


def check(session: Session) -> dict[str, Any]:
    """Relative errors against float64, |x - reference| / |reference|, of the device and of the CPU; outputs of all
    networks and (the median over DRAWS) of SPIN's variants, and all gradients of SPIN together."""
    names = session.sized(models.names(), ["spin", "imdn"])
    cases: dict[str, tuple[str, dict[str, Any], int]] = {name: (name, {}, 1) for name in with_data(names)}
    left_out = [name for name in names if name not in cases]
    cases |= {f"spin, {label}": ("spin", config, session.sized(DRAWS, 1)) for label, config in VARIANTS.items()}
    errors: dict[str, dict[str, float]] = {}
    found: dict[str, Any] = {"errors": errors, "left_out": left_out}
    for label, (name, config, draws) in cases.items():
        drawn = [_errors(session, name, config, gradients=False, seed=seed) for seed in range(draws)]
        errors[label] = {where: statistics.median(one[where] for one in drawn) for where in ("device", "cpu")}
        session.keep(found)
    errors["spin, gradients"] = _errors(session, "spin", {"blocks": 2}, gradients=True)
    wrong = [f"{label}: {error}" for label, error in errors.items() if not _is_right(error)]
    worst = max(errors, key=lambda label: errors[label]["device"] / max(errors[label]["cpu"], LEAST))
    without = f", without {', '.join(left_out)}" if left_out else ""
    return found | {
        "wrong": wrong,
        "summary": f"{len(errors)} cases{without}; largest beside the CPU's: {worst}, {errors[worst]}",
    }


def _is_right(error: dict[str, float]) -> bool:
    return error["device"] <= FACTOR * max(error["cpu"], LEAST)  # False for NaN


def with_data(names: Sequence[str]) -> list[str]:
    """The networks whose additional data can be had, which are fetched; LAPAR-A computes nothing without."""
    found = []
    for name in names:
        try:
            for entry in entries(name):
                if entry.kind == "data":
                    Published(entry.path, entry.hash).locate()
        except DataError:
            continue
        found.append(name)
    return found


def _errors(session: Session, name: str, config: dict[str, Any], gradients: bool, seed: int = 0) -> dict[str, float]:
    cpu = torch.device("cpu")
    torch.manual_seed(seed)
    model, image = models.build(name, 4, **config).eval(), torch.rand(2, 3, 50, 54)

    def computed(device: torch.device, dtype: torch.dtype) -> Tensor:
        model.to(device, dtype).zero_grad()
        with torch.set_grad_enabled(gradients):
            output = model(image.to(device, dtype))
        if not gradients:
            return output.double().cpu()
        output.square().mean().backward()
        return torch.cat([each.grad.double().cpu().flatten() for each in model.parameters() if each.grad is not None])

    there, here = computed(session.device, torch.float32), computed(cpu, torch.float32)
    reference = computed(cpu, torch.float64)
    of_device, of_cpu = (float((each - reference).norm() / reference.norm()) for each in (there, here))
    return {"device": of_device, "cpu": of_cpu}
