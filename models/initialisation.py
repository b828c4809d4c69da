"""Initial values that depend on a parameter's name, so that variants of a network start from common values.

PyTorch draws parameters one after the other from one generator, so an additional layer changes the values of all
layers after it. Here each parameter is drawn again by the operators that drew it, from a generator of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


def by_name(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The network that `build` makes, each parameter drawn from a generator seeded by (`seed`, its name).

    Distributions are those of the network's own initialisation. Parameters of the same name and shape have the same
    values in every network that draws them in the same way. The global generator stays as it is. Raises ValueError
    for a parameter that was computed from drawn values, such as the norms of weight normalisation.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(_seed(seed, "another"))
        other = dict(build().named_parameters())
        torch.default_generator.manual_seed(_seed(seed, "network"))
        with _Drawn() as drawn:
            model = build()
        for name, parameter in model.named_parameters():
            operators = drawn.operators.get(parameter.untyped_storage()._cdata, [])
            whole = parameter.untyped_storage().nbytes() == parameter.nbytes
            if not any(_random(operator) for operator, *_ in operators) or not whole:
                if torch.equal(parameter, other[name]):
                    continue  # a constant
                raise ValueError(f"{name}: is computed from what is drawn, and cannot be initialised by its name")
            torch.default_generator.manual_seed(_seed(seed, name))
            for operator, arguments, options in operators:
                if operator._schema.is_mutable:
                    operator(parameter.data, *arguments[1:], **options)
                else:
                    parameter.data.copy_(operator(*arguments, **options))
    return model


class _Drawn(TorchDispatchMode):
    """Notes which operators drew or changed a tensor, by its storage."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: dict[int, list[tuple[Any, tuple[Any, ...], dict[str, Any]]]] = {}
        self._alive: list[torch.UntypedStorage] = []  # so that no other tensor takes their addresses

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = operator(*args, **(kwargs or {}))
        if isinstance(result, Tensor) and (operator._schema.is_mutable or _random(operator)):
            storage = result.untyped_storage()
            self._alive.append(storage)
            self.operators.setdefault(storage._cdata, []).append((operator, args, kwargs or {}))
        return result


def _random(operator: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in operator.tags


def _seed(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:8], "big", signed=True)
