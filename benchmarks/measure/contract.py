"""What every network must hold to be trained and measured here, as checks that say what they found.

The same is tested for the networks of the registry; `spinbench validate` asks it of a network from a file.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

import models
from benchmarks.measure.macs import CostError, lr_size_for, macs
from foundation import one_line


class Finding(NamedTuple):
    """A check in words, and what is wrong; None if it holds. `needed`: without it the suite's results are wrong."""

    check: str
    wrong: str | None
    needed: bool


@dataclass(frozen=True)
class Subject:
    """A network in evaluation mode, its scale, its smallest input, and another one with other weights."""

    model: nn.Module
    scale: int
    least: int
    another: nn.Module

    def image(self, height: int = 0, width: int = 3, batch: int = 1) -> torch.Tensor:
        """Noise, as much higher and wider than the smallest input, but at least 12 pixels."""
        generator = torch.Generator().manual_seed(0)
        edge = max(self.least, 12)
        return torch.rand(batch, 3, edge + height, edge + width, generator=generator)


def examine(name: str, scale: int, config: dict[str, Any]) -> Iterator[Finding]:
    """Every check on `models.build(name, scale, **config)`, one after the other. Raises its errors."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, another = (models.build(name, scale, **config).eval() for _ in range(2))
    least = models.describe(name).smallest_input
    for check in (*NEEDED, *GOOD):
        words = (check.__doc__ or "").partition("\n")[0].rstrip(".")
        try:
            wrong = check(Subject(copy.deepcopy(model), scale, least, copy.deepcopy(another)))
        except Exception as error:  # of the user's code, whatever it is
            wrong = f"{type(error).__name__}: {one_line(error)}"
        yield Finding(words, wrong, check in NEEDED)


@torch.inference_mode()
def _shape(subject: Subject) -> str | None:
    """Any image from the smallest input on becomes one of scale times its height and width."""
    for height, width in ((0, 0), (1, 7), (13, 4)):
        x = subject.image(height, width)
        expected = (1, 3, subject.scale * x.shape[2], subject.scale * x.shape[3])
        found = tuple(subject.model(x).shape)
        if found != expected:
            return f"{tuple(x.shape)} became {found}, expected {expected}"
    return None


@torch.inference_mode()
def _smallest(subject: Subject) -> str | None:
    """The smallest input is taken."""
    subject.model(torch.rand(1, 3, subject.least, subject.least))
    return None


@torch.inference_mode()
def _unchanged(subject: Subject) -> str | None:
    """The input stays as it was."""
    x = subject.image()
    before = x.clone()
    subject.model(x)
    return None if torch.equal(x, before) else "it was changed in place"


@torch.inference_mode()
def _repeats(subject: Subject) -> str | None:
    """The same image gives the same result twice."""
    x = subject.image()
    return None if torch.equal(subject.model(x), subject.model(x)) else "results differ in evaluation mode"


@torch.inference_mode()
def _batch(subject: Subject) -> str | None:
    """A batch gives what its images give alone."""
    x = torch.rand(3, *subject.image().shape[1:], generator=torch.Generator().manual_seed(1))
    alone = torch.cat([subject.model(image[None]) for image in x])
    apart = float((subject.model(x) - alone).abs().max())
    return None if apart < 1e-4 else f"they differ by up to {apart:.2g}"


def _learns(subject: Subject) -> str | None:
    """Every parameter takes part in training."""
    model = subject.model.train()
    (model(subject.image()) - 0.5).abs().mean().backward()
    still = [name for name, value in model.named_parameters() if value.requires_grad and value.grad is None]
    return f"without a gradient: {', '.join(still[:5])}{', ...' * (len(still) > 5)}" if still else None


@torch.inference_mode()
def _restores(subject: Subject) -> str | None:
    """All that decides the output is in the state dict."""
    x, other = subject.image(), subject.another
    other.load_state_dict(subject.model.state_dict())
    return None if torch.equal(subject.model(x), other(x)) else "another network with its state differs"


@torch.inference_mode()
def _double(subject: Subject) -> str | None:
    """Double precision agrees with single precision."""
    x = subject.image()
    single = subject.model(x)
    apart = float((subject.model.double()(x.double()).float() - single).abs().max())
    return None if apart < 1e-3 * max(1.0, float(single.abs().max())) else f"they differ by up to {apart:.2g}"


@torch.inference_mode()
def _not_a_number(subject: Subject) -> str | None:
    """A pixel that is not a number is not hidden."""
    x = subject.image()
    x[0, 1, 6, 6] = torch.nan
    scale = subject.scale
    square = subject.model(x)[0, :, 6 * scale : 7 * scale, 6 * scale : 7 * scale]
    return None if square.isnan().all() else "its square in the output has numbers"


def _counted(subject: Subject) -> str | None:
    """MACs can be counted."""
    try:
        macs(subject.model, lr_size_for(subject.scale))
    except CostError as error:
        return str(error)
    return None


Check = Callable[[Subject], str | None]
NEEDED: tuple[Check, ...] = (_smallest, _shape, _unchanged, _repeats, _batch, _restores)
GOOD: tuple[Check, ...] = (_learns, _double, _not_a_number, _counted)
