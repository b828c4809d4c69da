"""The checks of a network: all hold for those of the registry, and each finds the fault that it is for."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.measure.contract import examine

BODY = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.conv = nn.Conv2d(3, 3 * scale**2, 3, padding=1)
        self.more = nn.Conv2d(3, 3, 1)
        self.hidden = torch.rand(1)

    def forward(self, x):
        {body}

    def up(self, x):
        return nn.functional.pixel_shuffle(self.conv(x), self.scale)
"""
FAULTS = {
    "Any image": "return self.up(self.more(x))[..., : -(x.shape[3] % 2) or None]",
    "The input stays": "return self.up(self.more(x.mul_(0.5)))",
    "The same image": "return self.up(self.more(x)) + torch.rand(1)",
    "A batch": "return self.up(self.more(x)) - x.mean()",
    "All that decides": "return self.up(self.more(x)) + self.hidden",
    "Every parameter": "return self.up(x)",
    "Double precision": "return self.up(self.more(x)) + (x.dtype == torch.float64)",
    "A pixel that": "return self.up(self.more(x.nan_to_num()))",
    "MACs can": "return self.up(self.more(x)) + torch.linalg.matrix_exp(x.mean(1))[0, 0, 0]",
}


def wrong(name: str, **config: object) -> dict[str, str]:
    return {found.check: found.wrong for found in examine(name, 2, config) if found.wrong is not None}


@pytest.mark.parametrize("name", ["imdn", "swinir_light", "spin"])
def test_the_networks_here_hold_all(name: str) -> None:
    assert wrong(name, **({"blocks": 1} if name == "spin" else {})) == {}


@pytest.mark.parametrize("check", FAULTS)
def test_each_fault_is_found_by_its_check(tmp_path: Path, check: str) -> None:
    path = tmp_path / "net.py"
    path.write_text(BODY.format(body=FAULTS[check]))
    found = wrong(f"{path}:Net")
    assert any(words.startswith(check) for words in found), found


def test_a_network_without_a_fault_holds_all(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(BODY.format(body="return self.up(self.more(x))"))
    assert wrong(f"{path}:Net") == {}
