"""Which network a checkpoint fits: under our names, under the published ones, and none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import models
from benchmarks.identification import identify
from models.weights import WeightsError


def test_a_checkpoint_is_recognised_by_names_and_shapes(tmp_path: Path) -> None:
    model = models.build("imdn", 3)
    torch.save({"params": models.published_state("imdn", model)}, tmp_path / "published.pth")
    first, second, *_ = identify(tmp_path / "published.pth")
    assert (first.model, first.scale, first.wrong) == ("imdn", 3, None)
    assert second.wrong is not None


def test_what_fits_nothing_names_what_differs(tmp_path: Path) -> None:
    state = models.build("espcn", 2).state_dict()
    state["more"] = torch.ones(3)
    torch.save(state, tmp_path / "own.pth")
    first = identify(tmp_path / "own.pth")[0]
    assert first.model == "espcn"
    assert first.wrong is not None and "1 unexpected (more)" in first.wrong
    (tmp_path / "no.pth").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="not a readable checkpoint"):
        identify(tmp_path / "no.pth")
