"""Networks with a planted fault, and stored runs, for the regression check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.networks import Network
from reports.verdicts import FAILURES, Check

CPU = torch.device("cpu")
NAME = "quick/full-x4-s0"


def watch(part: str) -> Callable[[int, int, str], None]:
    return lambda done, total, note: None


class Remembered(nn.Module):
    """A network that works out each image once, so that faults behind it cost nothing."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.known = network, dict[bytes, Tensor]()

    def forward(self, image: Tensor) -> Tensor:
        key = image.numpy().tobytes()
        if key not in self.known:
            self.known[key] = self.network(image)
        return self.known[key].clone()


class After(nn.Module):
    """A network with something done to its output."""

    def __init__(self, network: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.change = network, change

    def forward(self, image: Tensor) -> Tensor:
        return self.change(self.network(image))


class Planted(Network):
    """A network whose module is another one."""

    @classmethod
    def as_of(cls, network: Network, module: nn.Module) -> Network:
        planted = cls(**{field.name: getattr(network, field.name) for field in dataclasses.fields(network)})
        object.__setattr__(planted, "planted", module)
        return planted

    def module(self) -> nn.Module:
        return self.planted


def failed(found: Check) -> set[str]:
    return {line.quantity.partition(",")[0] for line in found.lines if line.verdict in FAILURES}
