"""Deterministic algorithms on a GPU: whether a network allows them, and that nothing else changes.

On a CPU only the decision can be tried: `put_` is refused there too.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from benchmarks.training import determinism
from benchmarks.training.determinism import reproducible

CPU = torch.device("cpu")
MEMORY: Any = torch.utils.deterministic


class Refused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        index = torch.zeros(1, dtype=torch.long)
        return self.scale * torch.zeros_like(x).put_(index, x.flatten()[:1])


@pytest.fixture
def strict() -> object:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("strict")
def test_a_network_that_pytorch_refuses_is_found_by_a_step_of_a_copy() -> None:
    reason = determinism._refusal(Refused(), 8, CPU)
    assert reason is not None
    assert "put_ does not have a deterministic implementation" in reason
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Dropout())
    state = torch.get_rng_state()
    assert determinism._refusal(model, 8, CPU) is None
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.usefixtures("strict")
def test_other_errors_are_errors() -> None:
    with pytest.raises(RuntimeError, match="expected input"):
        determinism._refusal(nn.Conv2d(4, 3, 3), 8, CPU)


@pytest.mark.parametrize("refused", [None, "index_add_ does not have a deterministic implementation"])
def test_the_modes_of_the_process_within_and_after(monkeypatch: pytest.MonkeyPatch, refused: str | None) -> None:
    monkeypatch.setattr(determinism, "_refusal", lambda *_: refused)
    with pytest.raises(KeyError), reproducible(nn.Identity(), 8, torch.device("cuda")) as reason:
        assert reason == refused
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled() == bool(refused)
        assert not MEMORY.fill_uninitialized_memory
        raise KeyError
    assert not torch.are_deterministic_algorithms_enabled()
    assert MEMORY.fill_uninitialized_memory
    with reproducible(nn.Identity(), 8, CPU) as reason:
        assert reason is None
        assert not torch.are_deterministic_algorithms_enabled()
