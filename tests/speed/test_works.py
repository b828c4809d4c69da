"""That both sides of a timing do the same work, or their ratio would say nothing; and that all is told in the end."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import torch
from torch import Tensor

from models.spin import ops
from tests.oracles.networks_plain import FORWARD
from tests.speed import __main__ as benchmark
from tests.speed import networks, targets
from tests.speed.works import WORKS, Work


@pytest.mark.parametrize("work", [work for work in WORKS if not work.step], ids=lambda work: work.name)
def test_ours_and_dense_give_the_same_image(work: Work) -> None:
    small = replace(work, lr_size=(26, 31))
    torch.testing.assert_close(small.prepared("ours")(), small.prepared("dense")(), rtol=1e-4, atol=1e-5)


def test_both_sides_take_the_same_training_steps() -> None:
    (work,) = (replace(work, lr_size=(24, 24), batch=2) for work in WORKS if work.step)
    ours, dense = (work.prepared(side) for side in work.sides)
    losses = torch.stack([torch.stack([ours(), dense()]) for _ in range(3)])
    torch.testing.assert_close(losses[:, 0], losses[:, 1], rtol=1e-3, atol=0)
    assert (losses.diff(dim=0).abs() > 1e-2 * losses[0]).all()  # it does train


@pytest.mark.slow
def test_the_benchmark_at_small_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_, largest = WORKS
    small = {
        replace(first, lr_size=(24, 30), repeats=2): WORKS[first],
        replace(largest, lr_size=(48, 60)): WORKS[largest],
    }
    monkeypatch.setattr(benchmark, "WORKS", small)
    monkeypatch.setattr(benchmark, "SIZES", [(24, 30), (48, 60)])
    monkeypatch.setattr(benchmark, "EDGE", 64)
    monkeypatch.setattr(benchmark.networks, "measure", partial(networks.measure, 1, (16, 24)))
    monkeypatch.setattr(benchmark.networks, "FORWARD", {name: FORWARD[name] for name in ("carn", "imdn")})
    benchmark.main(tmp_path)
    stored = targets.load_targets(tmp_path)
    assert stored is not None
    assert [work.name for work in stored.works] == [first.name, largest.name]
    assert stored.works[0].dense is not None and stored.works[1].dense is None
    assert stored.growth.sizes == [(24, 30), (48, 60)]
    assert stored.growth.seconds[1] == stored.works[1].ours.median_s  # timed once
    assert {"association", "SPCA", "ISPA", "local attention", "FFN"} < {part.name for part in stored.parts}
    assert len(stored.operations) == 3 + 2


def test_time_counts_under_the_part_that_took_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each convolution after a block is made 20 ms slower: 160 ms, which no other part may have."""
    convolution = ops.convolution

    def slow(*arguments: Any) -> Tensor:
        if arguments[1].out_channels > 3:  # the last one, to RGB, is of the upsampler
            sleep(0.02)
        return convolution(*arguments)

    monkeypatch.setattr(ops, "convolution", slow)
    work = replace(next(iter(WORKS)), lr_size=(24, 24))
    seconds = {part.name: part.seconds for part in benchmark._parts(work, repeats=1)}
    assert seconds["convolutions before upsampling"] >= 0.16  # parts do not overlap
