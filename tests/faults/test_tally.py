"""The bookkeeping of the campaign of faults, which itself is run by `nox -s faults`."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import safetensors.torch
import torch
from rich.console import Console

from tests.faults import damage, tally
from tests.faults.tally import Try


def test_every_try_is_counted_once_under_its_fault() -> None:
    tries = [
        Try("cut", "a", message="said"),
        Try("cut", "b", lost=["weights", "a step"]),
        Try("cut", "c", wrong=["98.46"], mute=["no file"], seconds=2),
        Try("kill", "d", message="said nothing"),
    ]
    cut, kill = tally.rows(tries)
    assert (cut.fault, cut.tried, cut.survived, cut.lost, cut.wrong, cut.mute, cut.seconds) == ("cut", 3, 1, 1, 1, 1, 2)
    assert (kill.tried, kill.survived, kill.lost, kill.wrong, kill.mute) == (1, 1, 0, 0, 0)
    assert cut.message == "b: lost: weights, a step"  # rather than what was said where all went well
    assert kill.message == "said nothing"


@pytest.mark.parametrize(
    ("tries", "passed"),
    [
        ([Try("cut")], True),
        ([Try("cut"), Try("kill", lost=["weights"])], False),
        ([Try("cut"), Try("kill", wrong=["98.46"])], False),
        ([Try("cut"), Try("kill", mute=["no file"])], False),
        ([], False),
    ],
)
def test_it_passes_when_nothing_is_lost_wrong_or_mute(tries: list[Try], passed: bool) -> None:
    assert tally.passed(tally.rows(tries)) is passed


def test_the_table_has_a_line_for_every_fault() -> None:
    printed = io.StringIO()
    rows = tally.rows([Try("cut"), Try("kill", "d", lost=["weights"])])
    Console(file=printed, width=120).print(tally.table(rows, "faults"))
    lines = [re.split(r" *[│┃] *", line)[1:-1] for line in printed.getvalue().splitlines() if line[0] in "│┃"]
    assert lines == [
        ["fault", "tried", "survived", "lost", "wrong", "mute", "seconds", "message"],
        ["cut", "1", "1", "0", "0", "0", "0", ""],
        ["kill", "1", "0", "1", "0", "0", "0", "d: lost: weights"],
    ]


QUALITY = "dataset,image,psnr,ssim\nfolder:first,0,28.46,0.8\nfolder:first,1,27.5,0.7\n"
SMALL = {
    "quality.csv": QUALITY.encode(),
    "measured": QUALITY.encode(),
    "training.csv": b"iteration,loss\n1,20.5\n2,19.5\n",
    "run.yaml": b"scale: 4\nstages: {train: {config: {blocks: 1}}}\n",
    "provenance.json": b'{"train": {"seconds": 1.5}, "evaluate": {"seconds": 2.5}}',
    "cost.json": b'{"parameters": 5, "macs": {"total": 7}, "latency": {"median_s": 0.5}}',
    "weights.safetensors": safetensors.torch.save({"a": torch.ones(3, 2)}, {"fingerprint": "f"}),
    "checkpoint.pt": bytes(np.random.default_rng(0).integers(1, 256, 500, dtype=np.uint8)),
}


@pytest.mark.parametrize("file", damage.FILES)
def test_every_damage_changes_the_file_in_a_way_of_its_own(file: str) -> None:
    changed = {kind: change(SMALL[file]) for kind, change in damage.of(file, seed=0).items()}
    assert changed.pop("removed") is None
    assert SMALL[file] not in changed.values()
    assert len(set(changed.values())) == len(changed)
    again = {kind: change(SMALL[file]) for kind, change in damage.of(file, seed=0).items()}
    assert {kind: content for kind, content in again.items() if kind != "removed"} == changed
