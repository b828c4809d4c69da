"""The provenance of a stage: machine, versions, sources and times. What cannot be found out is "unknown"."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
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

UNKNOWN = "unknown"
CHECKOUT = Path(__file__).resolve().parents[2]
_SOURCES = ("foundation", "models", "benchmarks")  # the packages that can affect a result
_SUFFIXES = (".py", ".cpp", ".h")
_LIBRARIES = ("torch", "numpy", "scipy", "pandas", "pillow", "scikit-image", "fvcore", "spin-bench")
_PATIENCE_S = 60  # for git, on a file system of a network


@cache
def installation() -> dict[str, Any]:
    """What is the same for all stages of this process: system, instruction set, versions, commit, source digest."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "capability": torch.backends.cpu.get_cpu_capability(),
        "versions": versions(),
        "commit": commit(),
        "source": source_digest(),
    }


@dataclass(frozen=True)
class Process:
    """The work of this process on a stage, from the construction of this object."""

    device: torch.device
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)  # unlike the time of day, it never goes back
    # asked before the work: what is computed is that of now, and a question that fails must not cost the work
    installed: Mapping[str, Any] = field(default_factory=installation)

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
            "threads": torch.get_num_threads(),
            "ranks": ranks.size(),
            **self.installed,
            "versions": self.installed["versions"] | {"kernels": cpu.used() or "not used"},
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
    return {"python": platform.python_version()} | {name: _version(name) for name in _LIBRARIES}


def _version(library: str) -> str:
    try:
        return importlib.metadata.version(library) or UNKNOWN
    except (importlib.metadata.PackageNotFoundError, KeyError):  # such as a checkout that is not installed
        return UNKNOWN


@cache
def commit() -> str:
    """Git commit of this checkout, with `+changes` if tracked files differ from it.

    Unknown for what is no repository itself, such as an installed wheel or a zip that was unpacked in another
    repository, and without git.
    """
    if not (CHECKOUT / ".git").exists():
        return UNKNOWN
    # Neither another repository that the environment names, nor one around a .git that is none
    asked = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    asked |= {"GIT_CEILING_DIRECTORIES": str(CHECKOUT.parent), "GIT_OPTIONAL_LOCKS": "0"}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(CHECKOUT), *arguments]
        answer = subprocess.run(command, capture_output=True, check=True, timeout=_PATIENCE_S, env=asked)
        return answer.stdout.decode("utf-8", "replace").strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        found = git("rev-parse", "--verify", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return found + ("+changes" if changed else "") if re.fullmatch("[0-9a-f]{40,64}", found) else UNKNOWN


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
