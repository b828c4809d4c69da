"""Two processes of torchrun train as one does, to rounding; they stop, resume and fail together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import safetensors.torch
import torch

import models
import results
from benchmarks.training import ranks
from results import processes
from tests.benchmarks.training import together
from tests.benchmarks.training.small import Crash as Crashed
from tests.benchmarks.training.small import Network, crash_at, history, train, weights

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes trained, in one start of torchrun."""
    folder = tmp_path_factory.mktemp("together")
    begun = time.monotonic()
    done = torchrun(together.__name__, str(folder))
    assert done.returncode == 1 and time.monotonic() - begun < 60, done.stderr  # one of them failed in the end
    return folder


def torchrun(*command: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", *command]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(start, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=600)


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "told.json").read_text()))


def run(folder: Path) -> results.Run:
    return results.Run("test", "network", 2, 1, root=folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["espcn", "spin", "partly"])
def test_two_processes_equal_one(trained: Path, tmp_path: Path, name: str) -> None:
    """In float64 after 20 steps, each on half of the batch: gradients, their clipping, averaged weights, losses."""
    one = train(tmp_path, together.EXACT, together.network(name), patches=together.Whole())
    assert_equal(name, one, run(trained / name))


UNLIKE = {"elan_light", "hpinet_m", "smsr", "swinir_light"}  # BatchNorm, or random masks and paths


@pytest.mark.slow
def test_two_processes_equal_one_for_every_network_but_those_that_are_found(tmp_path: Path) -> None:
    names = models.names()
    cpu = torch.device("cpu")
    assert {name for name in names if ranks.departures(together.network(name).float(), 24, cpu)} == UNLIKE
    equal = [name for name in names if name not in UNLIKE]
    done = torchrun(together.__name__, str(tmp_path / "two"), *equal)
    assert done.returncode == 0, done.stderr
    for name in equal:
        one = train(tmp_path / "one" / name, together.EXACT, together.network(name), patches=together.Whole(24))
        assert_equal(name, one, run(tmp_path / "two" / name))


def assert_equal(name: str, one: results.Run, two: results.Run) -> None:
    begun = together.network(name).state_dict()
    expected, found = (safetensors.torch.load(weights(each)) for each in (one, two))
    assert found.keys() == expected.keys()
    moved = max(float((expected[key] - begun[key]).abs().max()) for key in expected)
    assert moved > 1e-3, name
    for key, tensor in expected.items():
        assert float((found[key] - tensor).norm()) <= 1e-6 * float(tensor.norm()), (name, key)
    assert history(two)["loss"].to_numpy() == pytest.approx(history(one)["loss"].to_numpy(), rel=1e-6)


@pytest.mark.slow
def test_stopped_together_they_resume_to_the_same_bits(trained: Path) -> None:
    """A signal to one of them stops both after one step; dropout in each goes on from the state that was stored."""
    assert "stopped after iteration 17 of 40" in told(trained)["stopped"]
    assert weights(run(trained / "stopped")) == weights(run(trained / "whole"))
    pd.testing.assert_frame_equal(history(run(trained / "stopped")), history(run(trained / "whole")))


@pytest.mark.slow
def test_an_error_of_both_leaves_them_together(trained: Path) -> None:
    assert "loss is nan at iteration 12" in told(trained)["infinite"]
    assert "last good state" in told(trained)["infinite"]
    assert told(trained)["still together"] == [0, 1]


@pytest.mark.slow
def test_an_error_of_one_reaches_the_other(trained: Path) -> None:
    assert told(trained)["failed"] == "rank 1: ValueError: boom"
    assert 'raise ValueError("boom")' in told(trained)["cause"]


@pytest.mark.slow
def test_what_two_processes_do_otherwise_is_found_and_told(trained: Path) -> None:
    unlike = told(trained)["network"]
    assert [text.split()[0] for text in unlike] == ["BatchNorm", "each"]
    assert ranks.departures(together.network("espcn").float(), 8, torch.device("cpu")) == []
    (remark,) = processes.remarks({"ranks": 2, "unlike": unlike})
    assert "2 processes trained it together" in remark and "not what one would train: BatchNorm saw" in remark
    assert processes.remarks({"ranks": 1, "unlike": []}) == []
    assert processes.changes([{"ranks": 2}, {"ranks": 1}]) == ["ranks 2 -> 1"]


def test_finding_it_moves_no_generator() -> None:
    before = torch.get_rng_state()
    ranks.departures(Network(), 8, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before) is False  # Network seeds it
    model, before = Network(), torch.get_rng_state()
    ranks.departures(model, 8, torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped(trained: Path, tmp_path: Path) -> None:
    """And one with a checkpoint of before, which tells nothing of other processes, ends with the same bits."""
    whole = train(tmp_path / "whole", {})
    with pytest.raises(Crashed):
        train(tmp_path / "old", {}, on_step=crash_at(25))
    path = run(tmp_path / "old").path("checkpoint.pt")
    content = torch.load(path, weights_only=True)
    assert content["iteration"] == 20 and content.pop("other_generators") == []
    torch.save(content, path)
    assert weights(train(tmp_path / "old", {}, Network(seed=9))) == weights(whole)
    stored = torch.load(run(trained / "whole").path("checkpoint.pt"), weights_only=True)
    assert len(stored["other_generators"]) == 1 and stored["processes"][-1]["ranks"] == 2


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "size", lambda: 3)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    assert ranks.share_of(6) == slice(2, 4)
    with pytest.raises(ranks.RankError, match="3 processes cannot share a batch_size of 4"):
        ranks.share_of(4)


def test_each_process_has_a_gpu_and_a_seed_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (ranks.device_name("cuda:3"), ranks.threads(None), ranks.own_seed(7)) == ("cuda:3", None, 7)
    monkeypatch.setattr(ranks, "size", lambda: 2)
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert (ranks.device_name("auto"), ranks.device_name("cuda"), ranks.device_name("cpu")) == (
        "cuda:1",
        "cuda:1",
        "cpu",
    )
    with pytest.raises(ranks.RankError, match="cuda:0: 2 processes need a GPU each"):
        ranks.device_name("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ranks.RankError, match="2 processes on this machine, and PyTorch sees 1 GPUs"):
        ranks.device_name("auto")
    assert ranks.own_seed(7) not in (7, ranks.own_seed(7, 100), ranks.own_seed(8))
    assert ranks.threads(3) == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "5")  # asked for, unlike the 1 that torchrun sets
    assert ranks.threads(None) is None
