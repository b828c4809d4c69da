"""The reference that is committed, its network, and a run with its weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from torch import nn

from benchmarks.regression import checks
from benchmarks.regression.references import find
from reports.regression import check_network
from reports.verdicts import Check
from results import references
from results.references import Reference
from tests.benchmarks.regression.planted import CPU, NAME, Planted, Remembered, watch


@pytest.fixture(scope="module")
def reference() -> Reference:
    return references.load_reference(NAME)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    ((network, _),) = find([], reference=NAME)
    return Remembered(network.module())


@pytest.fixture
def checked(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> Callable[[nn.Module], Check]:
    """The comparison of a network with the reference, but for its costs."""
    monkeypatch.setattr(checks, "comparable_costs", lambda *arguments: None)
    ((network, _),) = find([], reference=NAME)

    def run(model: nn.Module) -> Check:
        measured = checks.measured(Planted.as_of(network, model), ["embedded-test"], CPU, watch)
        return check_network("planted", reference, measured)

    return run


@pytest.fixture
def run(reference: Reference, tmp_path: Path) -> Path:
    """A run's folder with a copy of the reference's weights, below a folder of results of its own."""
    folder = tmp_path / "runs" / "quick" / "full-x4-s0"
    folder.mkdir(parents=True)
    assert reference.weights is not None
    (folder / "weights.safetensors").write_bytes(reference.weights.read_bytes())
    train = {"model": "spin", "scale": 4, "config": reference.measured.network.config, "seed": 0}
    header = {"protocol": "quick", "variant": "full", "scale": 4, "seed": 0, "stages": {"train": train}}
    (folder / "run.yaml").write_text(yaml.safe_dump(header))
    (folder / "quality.csv").write_text("")
    return folder
