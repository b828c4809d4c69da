"""Every command's help ends with an example, which is executed here as it stands there but for the names below."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from spinbench.app import app
from tests.spinbench.tiny import TINY, Finished
from tests.spinbench.user_folder import furnish

# What is not the same here as for a user: the protocol and its run, which the tests have already, and a smaller set.
INSTEAD = {"quick": str(TINY), "results/runs/quick/full-x4-s0": "results/runs/tiny/full-x4-s0"}
SMALLER = {"evaluate": {"Set5": "photos"}}
ALSO = {
    "attribution": ["--steps", "1"],
    "cost": ["--no-memory"],
    "new": ["--folder", "mine"],  # net.py is there already
    "reproduce": ["--into", "again"],
    "speed": ["--csv", "speed.csv", "--repeats", "1", "--lr", "8x8"],
}
ELSEWHERE = {"report", "tradeoff", "export"}  # executed by the tests of these commands


def commands(group: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    group = typer.main.get_command(app) if group is None else group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


def example(path: tuple[str, ...]) -> list[str]:
    found = re.search(r"Example:\s+spinbench (.*)\Z", (ALL[path].help or "").strip(), re.DOTALL)
    assert found, f"{' '.join(path)}: its help does not end with `Example: spinbench ...`"
    words = shlex.split(found[1])
    assert tuple(words[: len(path)]) == path
    return words[len(path) :]


@pytest.fixture
def place(finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mirror_folder: Path) -> Path:
    """The folder of a user, with what the examples name."""
    furnish(tmp_path, finished[0] / "runs")
    monkeypatch.setattr("spinbench.runs.render", lambda protocol, folder: None)  # takes most of the time of a run
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_the_example_in_the_help_is_accepted(path: tuple[str, ...]) -> None:
    ALL[path].make_context("spinbench", example(path))


HERE = [path for path in ALL if path[0] not in ELSEWHERE]
SLOW = {("check",), ("new",), ("speed",)}


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.slow] if path in SLOW else [], id=" ".join(path)) for path in HERE],
)
def test_the_example_in_the_help_works(path: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if path == ("clean",):
        monkeypatch.setenv("SPINBENCH_DATA", str(place / "cache"))  # the other tests need theirs
    if path == ("check",):  # a reference to compare with
        make = "check results/runs/tiny/full-x4-s0 --update --reason new --threads 1 --results results"
        made = CliRunner().invoke(app, make.split())
        assert made.exit_code == 0, made.output
    options = {option for parameter in ALL[path].params for option in parameter.opts}
    instead = INSTEAD | SMALLER.get(path[-1], {})
    words = [*path, *(instead.get(word, word) for word in example(path)), *ALSO.get(path[-1], [])]
    words += ["--results", "results"] * ("--results" in options) + ["--threads", "1"] * ("--threads" in options)
    done = CliRunner().invoke(app, words, input="y\ny\ny\n")
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    assert done.output


def test_the_root_help_names_every_command() -> None:
    told = CliRunner().invoke(app, ["--help"]).output
    assert all(path[0] in told for path in ALL)
