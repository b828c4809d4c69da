"""The provenance of a stage: machine, versions, sources and times."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import platform
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import devices
from benchmarks.training import ranks
from models.spin import cpu

CHECKOUT = Path(__file__).resolve().parents[2]
_SOURCES = ("foundation", "models", "benchmarks")  # the packages that can affect a result
_SUFFIXES = (".py", ".cpp", ".h")
_LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pillow", "scikit-image", "fvcore", "spin-bench")


@dataclass(frozen=True)
class Process:
    """The work of this process on a stage, from the construction of this object."""

    device: torch.device
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)  # unlike the time of day, it never goes back

    def facts(self, earlier: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """Versions, machine, commit, digest of the sources, and times (UTC), for provenance.json.

        `ranks` is the number of processes that worked together, each with these `threads`.

        `earlier` holds the facts of the earlier processes of the stage, whose seconds are added.
        """
        own: dict[str, Any] = {
            "started": self.started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.clock, 1),
            "device": devices.device_facts(self.device),
            "system": f"{platform.system()} {platform.machine()}",
            "threads": torch.get_num_threads(),
            "ranks": ranks.size(),
            "capability": torch.backends.cpu.get_cpu_capability(),
            "versions": versions() | {"kernels": cpu.used() or "not used"},
            "commit": commit(),
            "source": source_digest(),
        }
        if not earlier:
            return own
        seconds = round(own["seconds"] + sum(one["seconds"] for one in earlier), 1)
        return {**own, "started": earlier[0]["started"], "seconds": seconds, "earlier": list(earlier)}


def flags(record: dict[str, dict[str, Any]]) -> list[str]:
    """The differences between this installation and the one that produced a run's stages, which do not make the run
    stale."""
    found = []
    for stage, made in record.items():
        if made["source"] != source_digest():
            found.append(f"{stage}: other sources ({made['source'][:8]}, now {source_digest()[:8]})")
        if made["versions"]["torch"] != versions()["torch"]:
            found.append(f"{stage}: other torch ({made['versions']['torch']}, now {versions()['torch']})")
        if (kernels := made["versions"].get("kernels", "none")) not in ("not used", cpu.here(kernels)):
            found.append(f"{stage}: other kernels ({kernels}, now {cpu.here(kernels)})")
    return found


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that affect results."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # such as a checkout that is not installed
            found[name] = importlib.metadata.version(name)
    return found


@cache
def commit() -> str | None:
    """Git commit of the checkout, with `+changes` if tracked files differ from it; None for an installed wheel."""
    if not (CHECKOUT / ".git").exists():  # an environment may lie inside another repository
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(CHECKOUT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def source_digest() -> str:
    """SHA-256 over the source files that can affect a result."""
    total = hashlib.sha256()
    for path in sorted(
        path for folder in _SOURCES for path in (CHECKOUT / folder).rglob("*") if path.suffix in _SUFFIXES
    ):
        total.update(path.relative_to(CHECKOUT).as_posix().encode() + b"\0")
        total.update(path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return total.hexdigest()
