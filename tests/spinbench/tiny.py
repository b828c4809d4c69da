"""Runs of Table 2 under the protocol of the tests."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import yaml

from tests.spinbench.commands import Done, spinbench

TINY = Path(__file__).parents[1] / "tiny.yaml"
CHECKOUT = Path(__file__).parents[2]
Finished = tuple[Path, Done]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "spinbench", *map(str, arguments)]


def run_tiny(folder: Path, *arguments: object, protocol: Path = TINY) -> Done:
    return spinbench("run", "table2", "--protocol", protocol, "--threads", 1, "--results", folder, *arguments)


def write_protocol(path: Path, training: Mapping[str, object] | None = None, **changes: object) -> Path:
    content = yaml.safe_load(TINY.read_text()) | changes
    content["training"] |= training or {}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path
