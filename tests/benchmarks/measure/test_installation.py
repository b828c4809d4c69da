"""What a record says of the installation, where git, metadata or a repository are missing, or lie."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.measure import provenance
from benchmarks.measure.provenance import CHECKOUT, Process

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> Iterator[None]:
    asked = (provenance.commit, provenance.versions, provenance.installation)
    for one in asked:
        one.cache_clear()
    yield
    for one in asked:
        one.cache_clear()


def repository(folder: Path) -> str:
    """A repository with one tracked file; returns its commit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "file").write_text("content")
    who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    for command in (("init", "-q"), ("add", "file"), (*who, "commit", "-q", "-m", "first")):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


@needs_git
def test_the_commit_is_that_of_this_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the repository which the environment names, as within a hook of git."""
    own, other = repository(tmp_path / "own"), tmp_path / "other"
    repository(other)
    (other / "file").write_text("changed")
    monkeypatch.setattr(provenance, "CHECKOUT", tmp_path / "own")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    assert provenance.commit() == own
    provenance.commit.cache_clear()
    (tmp_path / "own" / "file").write_text("changed")
    assert provenance.commit() == f"{own}+changes"


@needs_git
@pytest.mark.parametrize("broken", [False, True])
def test_a_zip_in_another_repository_does_not_have_its_commit(
    broken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path)
    unpacked = tmp_path / "spin-bench-main"
    unpacked.mkdir()
    if broken:
        (unpacked / ".git").mkdir()
    monkeypatch.setattr(provenance, "CHECKOUT", unpacked)
    assert provenance.commit() == "unknown"


@needs_git
@pytest.mark.parametrize(
    "script", [None, "exit 0", "echo nonsense", r"printf '\377\376\n'", "exit 128", "PATH=/bin:/usr/bin exec sleep 60"]
)
def test_without_a_git_that_works_the_commit_is_unknown(
    script: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path / "own")
    programs = tmp_path / "programs"
    programs.mkdir()
    if script:
        (programs / "git").write_text(f"#!/bin/sh\n{script}\n")
        (programs / "git").chmod(0o755)
    monkeypatch.setattr(provenance, "CHECKOUT", tmp_path / "own")
    monkeypatch.setattr(provenance, "_PATIENCE_S", 0.3)
    monkeypatch.setenv("PATH", str(programs))
    assert provenance.commit() == "unknown"


def test_versions_without_metadata_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str | None:
        if name == "spin-bench":
            raise importlib.metadata.PackageNotFoundError(name)
        return None if name == "fvcore" else "1.0"  # None: metadata without a version

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = provenance.versions()
    assert (found["spin-bench"], found["fvcore"], found["torch"]) == ("unknown", "unknown", "1.0")
    assert found["python"] != "unknown"


def test_all_is_asked_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails must not cost the work, and what was changed meanwhile was not computed with."""
    process = Process(torch.device("cpu"))

    def late() -> None:
        raise AssertionError("asked after the work")

    for name in ("installation", "versions", "commit", "source_digest"):
        monkeypatch.setattr(provenance, name, late)
    facts = process.facts()
    assert facts["commit"] and len(facts["source"]) == 64 and facts["versions"]["torch"]


@pytest.mark.slow
def test_a_run_without_home_git_compiler_and_metadata(tmp_path: Path) -> None:
    """A copy of the packages alone, by a user whom the system does not know, trains, measures and records."""
    for package in ("ablations", "benchmarks", "foundation", "models", "reports", "results", "spinbench"):
        made = ("__pycache__", *(("runs", "report") if package == "results" else ()))
        shutil.copytree(CHECKOUT / package, tmp_path / package, ignore=shutil.ignore_patterns(*made))
    (tmp_path / "empty").mkdir()
    environment = {
        "PATH": str(tmp_path / "empty"),
        "TMPDIR": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "SPINBENCH_MIRROR": str(tmp_path),
    }
    program = (
        "import importlib.metadata, os, pwd, sys\n"
        "def unknown(*_): raise KeyError('uid not found')\n"
        "pwd.getpwuid = unknown\n"
        "known = importlib.metadata.version\n"
        "def version(name):\n"
        "    if name == 'spin-bench': raise importlib.metadata.PackageNotFoundError(name)\n"
        "    return known(name)\n"
        "importlib.metadata.version = version\n"
        "from spinbench.app import main\n"
        "main()\n"
    )
    protocol = CHECKOUT / "tests" / "tiny.yaml"
    arguments = ["run", "table2", "--only", "full", "--protocol", str(protocol), "--results", str(tmp_path / "out")]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (record,) = (tmp_path / "out").glob("runs/tiny/full-*/provenance.json")
    facts = json.loads(record.read_text())["cost"]
    assert (facts["commit"], facts["versions"]["kernels"], facts["versions"]["spin-bench"]) == (
        "unknown", "none", "unknown",
    )  # fmt: skip
    assert (tmp_path / f"spin-bench-{os.geteuid()}" / "decoded").is_dir()
