"""What is known of every published file: `registry.csv`.

A row is a file. `kind` says where `path` leads: for `image`, `weights` (checkpoints) and `data` (what a network needs
beside them) it is a path on the public raw-file host of GitHub, for `packaged` a file inside an installed package,
for `archive` a URL. Weights of scale 0, and HR images of scale 0 or of a single scale, serve all scales. `hash` is
SHA-256, or `md5:` and what other toolboxes publish. `bytes` 0 is not known.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Entry(NamedTuple):
    kind: str
    name: str  # of the set
    scale: int
    role: str  # HR or LR
    path: str
    bytes: int
    hash: str


@cache
def entries(name: str) -> tuple[Entry, ...]:
    """The files of one set, in the order of the registry."""
    with Path(__file__).with_name("registry.csv").open(newline="", encoding="utf-8") as file:
        return tuple(
            Entry(
                row["kind"],
                row["name"],
                int(row["scale"]),
                row["role"],
                row["path"],
                int(row["bytes"]),
                row["hash"],
            )
            for row in csv.DictReader(file)
            if row["name"] == name
        )
