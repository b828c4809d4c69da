"""The registry of all published files, `registry.csv`.

A row is a file. The meaning of `path` depends on `kind`: for `image`, `weights` (checkpoints) and `data` (additional
data of a network) it is a path on the public raw-file host of GitHub, for `packaged` a file inside an installed
package, for `archive` a URL. Weights of scale 0, and HR images of scale 0 or of a single scale, apply to all scales.
`hash` is SHA-256, or `md5:` with the checksum that other toolboxes publish. `bytes` is 0 if unknown.

Weights without a hash were never at hand here: it is known only where they are published, for which `path` may also be
a URL. See `sources.Unverified`.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import NamedTuple

_FILE = Path(__file__).with_name("registry.csv")


class Entry(NamedTuple):
    kind: str
    name: str  # of the set
    scale: int
    role: str  # HR or LR
    path: str
    bytes: int
    hash: str


@cache
def networks() -> tuple[str, ...]:
    """The networks that have published weights, in the order of the registry."""
    with _FILE.open(newline="", encoding="utf-8") as file:
        return tuple(dict.fromkeys(row["name"] for row in csv.DictReader(file) if row["kind"] == "weights"))


@cache
def entries(name: str) -> tuple[Entry, ...]:
    """The files of one set, in the order of the registry."""
    with _FILE.open(newline="", encoding="utf-8") as file:
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
