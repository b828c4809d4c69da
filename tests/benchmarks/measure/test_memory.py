"""What a pass will take against what is known of it, and the limits of control groups."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest
import torch
from torch import nn

import models
from benchmarks.measure.memory import MARGIN, _allowed, available, bytes_per_pixel
from benchmarks.measure.peak import peak_memory

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("layers", "channels"),
    [
        ([nn.Conv2d(3, 10, 1)], 10),
        ([nn.Conv2d(3, 10, 1), nn.Conv2d(10, 20, 3, padding=1), nn.Conv2d(20, 3, 1)], 10 + 20),
        ([nn.Conv2d(3, 10, 1), nn.ReLU(inplace=True), nn.ReLU(), nn.Tanh(), nn.Sigmoid()], 2 * 10),
        ([nn.Conv2d(3, 10, 1), nn.Flatten()], 10),  # a view
    ],
)
def test_live_tensors_are_counted(layers: list[nn.Module], channels: int) -> None:
    network = nn.Sequential(*layers)
    assert bytes_per_pixel(network, CPU) == MARGIN * 4 * channels
    assert bytes_per_pixel(network.double(), CPU, least=100) == MARGIN * 8 * channels
    assert network.training


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process cannot forget its peak")
@pytest.mark.parametrize("name", ["awsrn_m", "elan_light"])  # the furthest above their live tensors
def test_a_pass_takes_no_more_than_foretold(name: str) -> None:
    predicted = bytes_per_pixel(models.build(name, 4), CPU)
    measured = peak_memory(name, 4, {}, (128, 128), CPU).bytes / 128**2
    assert predicted / 6 < measured < predicted


def test_available_memory() -> None:
    assert 0 < available(CPU) <= psutil.virtual_memory().total


def test_no_limit_without_control_groups(tmp_path: Path) -> None:
    assert _allowed(tmp_path / "cgroup", tmp_path / "absent") == []


@pytest.mark.parametrize("inside", [True, False])
def test_limits_of_version_2(tmp_path: Path, inside: bool) -> None:
    """Of all groups above the own one; in a container, where the path is none of its own, of the root."""
    own = tmp_path / "jobs" / "mine"
    own.mkdir(parents=True)
    group(own, "memory.max", "memory.current", "max", 100)
    group(own.parent, "memory.max", "memory.current", 1000, 300, "anon 5\ninactive_file 50\n")
    group(tmp_path, "memory.max", "memory.current", 5000, 6000)
    memberships = tmp_path / "memberships"
    memberships.write_text(f"0::{'/jobs/mine' if inside else '/elsewhere/docker'}\n")
    assert _allowed(tmp_path, memberships) == ([750, 0] if inside else [0])


def test_limits_of_version_1(tmp_path: Path) -> None:
    own = tmp_path / "memory" / "job"
    own.mkdir(parents=True)
    group(own, "memory.limit_in_bytes", "memory.usage_in_bytes", 4000, 1000, "total_inactive_file 10\n")
    memberships = tmp_path / "memberships"
    memberships.write_text("9:name=systemd:/job\n4:cpu,memory:/job\n0::/\n")
    assert _allowed(tmp_path, memberships) == [3010]


def group(folder: Path, limit: str, used: str, most: object, now: object, counts: str = "") -> None:
    (folder / limit).write_text(f"{most}\n")
    (folder / used).write_text(f"{now}\n")
    (folder / "memory.stat").write_text(counts)
