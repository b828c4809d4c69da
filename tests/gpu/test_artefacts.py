"""What the checks write is what the report reads."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from results.gpu import folder_of, load_cards
from tests.gpu.checks import latency, steps
from tests.gpu.session import Session


def test_the_report_reads_what_the_checks_write(tmp_path: Path) -> None:
    for module in (latency, steps):
        file = folder_of("some card", tmp_path) / f"{module.__name__.rpartition('.')[2]}.json"
        session = Session(torch.device("cpu"), True, file)
        session.keep(module.check(session))
        content = json.loads(file.read_text()) | {"failed": None, "rehearsal": False}  # else it is refused
        file.write_text(json.dumps(content))
    (card,) = load_cards(tmp_path)
    assert card.latency and card.latency.networks["x4"]["spin"].title == "SPIN"
    assert card.steps and card.steps.steps["bfloat16"].ms > 0
