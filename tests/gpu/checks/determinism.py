"""The same bits twice on the same card: evaluation, loss and gradients, and ten training steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

import models
from benchmarks.measure.evaluation import network_upscale
from benchmarks.training.determinism import reproducible
from tests.gpu.checks.correctness import with_data
from tests.gpu.checks.steps import protocol, train
from tests.gpu.session import Session


def check(session: Session) -> dict[str, Any]:
    """Of each computation, how many values differ when it is repeated, and their number; nothing may differ.

    `varying` has PyTorch's reason why a network cannot be trained to the same bits, None where it can. `named` are the
    operators of SPIN that PyTorch calls non-deterministic as long as a fixed order is not asked for.
    """
    differing: dict[str, dict[str, int]] = {}
    varying: dict[str, str | None] = {}
    found: dict[str, Any] = {"computations": differing, "varying": varying}
    names = with_data(session.sized(models.names(), ["spin", "imdn"]))
    computations: dict[str, Callable[[], Tensor]] = {
        "loss and gradients of spin": partial(_gradients, session),
        "ten training steps of spin": partial(_training, session),
    }
    computations |= {f"evaluation of {name}": partial(_evaluation, session, name) for name in names}
    for label, computed in computations.items():
        differing[label] = _differing(computed)
        session.keep(found)
    for name in names:
        with reproducible(models.build(name, 4), session.sized(48, 24), session.device) as reason:
            varying[name] = reason
    with _asked() as named:
        _evaluation(session, "spin")
        _gradients(session, any_order=True)
    found["named"] = sorted(named)
    wrong = [
        f"{label}: {one['differing']} of {one['values']} values differ"
        for label, one in differing.items()
        if one["differing"]
    ]
    wrong += [f"spin: {varying['spin']}"] if varying["spin"] else []
    refused = [name for name, reason in varying.items() if reason]
    return found | {
        "wrong": wrong,
        "summary": f"{len(differing)} computations twice; {len(varying) - len(refused)} of {len(varying)} networks can "
        f"be trained to the same bits{', not ' if refused else ''}{', '.join(refused)}",
    }


def _differing(computed: Callable[[], Tensor]) -> dict[str, int]:
    first, second = computed(), computed()
    # NaN differs from itself, and should not be there either
    return {"differing": int((first != second).sum()), "values": first.numel()}


@contextmanager
def _asked() -> Iterator[set[str]]:
    """A context in which PyTorch names the operators that are not deterministic."""
    named: set[str] = set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield named
        finally:
            torch.use_deterministic_algorithms(False)
    named |= {" ".join(str(each.message).split())[:200] for each in caught if "determin" in str(each.message)}


def _evaluation(session: Session, name: str) -> Tensor:
    torch.manual_seed(0)
    upscale = network_upscale(models.build(name, 4), session.device)
    lr = np.random.default_rng(0).integers(0, 256, (*session.sized((180, 320), (48, 50)), 3), np.uint8)
    return torch.from_numpy(upscale(lr))


def _gradients(session: Session, any_order: bool = False) -> Tensor:
    torch.manual_seed(0)
    batch, edge = session.sized((16, 64), (1, 24))
    model, lr, hr = models.build("spin", 4), torch.rand(batch, 3, edge, edge), torch.rand(batch, 3, 4 * edge, 4 * edge)
    with nullcontext() if any_order else reproducible(model, edge, session.device):
        loss = F.l1_loss(model.to(session.device)(lr.to(session.device)), hr.to(session.device))
        loss.backward()
    gradients = [each.grad.flatten() for each in model.parameters() if each.grad is not None]
    return torch.cat([loss.detach().view(1), *gradients]).cpu()


def _training(session: Session) -> Tensor:
    settings = protocol(session, iterations=10, batch_size=session.sized(16, 1))
    return torch.cat([each.detach().flatten() for each in train(session, settings).parameters()]).cpu()
