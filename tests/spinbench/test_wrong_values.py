"""Every option and argument of every command with wrong values: one line, exit code 1 or 2, and never a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.spinbench.commands import spinbench
from tests.spinbench.test_examples import ALL, INSTEAD, SMALLER, example
from tests.spinbench.tiny import Finished
from tests.spinbench.user_folder import furnish

# The first of each is tried always, the others by the slow tests.
WRONG: dict[type, tuple[str, ...]] = {
    int: ("9" * 30, "x", "1.5", "-1", ""),
    float: ("nan", "x", "-1", ""),
    Path: ("/dev/null", "photo.png/x", "x" * 300),
    str: ("no\x1b[2J'such\n<b>thing", "../../x", "x" * 300),
}
ANY = {("check", "--reason")}  # a text for people


def kind(parameter: Any) -> type:
    """The type of a value of an option: `list[str] | None` and a Literal are texts."""
    found = parameter.type_descriptor.annotation
    while inner := [one for one in get_args(found) if one is not type(None)]:
        found = inner[0]
    return found if isinstance(found, type) else str


def cases(path: tuple[str, ...], all_values: bool) -> Iterator[tuple[Any, str]]:
    for parameter in ALL[path].params:
        if kind(parameter) is not bool and (" ".join(path), parameter.opts[-1]) not in ANY:
            for value in WRONG[kind(parameter)][: None if all_values else 1]:
                yield parameter, value


def with_value(path: tuple[str, ...], parameter: Any, value: str) -> list[str]:
    """The example of a command with another value of one of its options or arguments."""
    instead = INSTEAD | SMALLER.get(path[-1], {})
    flags = {option for each in ALL[path].params if kind(each) is bool for option in (*each.opts, *each.secondary_opts)}
    options = ["--results", "results"] if any("--results" in each.opts for each in ALL[path].params) else []
    arguments: list[str] = []
    words = iter(instead.get(word, word) for word in example(path))
    for word in words:
        if not word.startswith("--"):
            arguments.append(word)
        elif word in flags:
            options.append(word)
        else:
            given = next(words)
            options += [] if word in parameter.opts else [word, given]
    if parameter.param_type_name == "argument":
        at = [each.name for each in ALL[path].params if each.param_type_name == "argument"].index(parameter.name)
        arguments[at : None if parameter.nargs == -1 else at + 1] = [value]
    else:
        options = [] if "--results" in parameter.opts else options
        options += [parameter.opts[-1], value]
    return [*path, *options, "--", *arguments]


@pytest.fixture(scope="module")
def place(finished: Finished, tmp_path_factory: pytest.TempPathFactory, mirror_folder: Path) -> Path:
    """The folder of a user, with what the examples name. Nothing is written there."""
    folder = tmp_path_factory.mktemp("place")
    furnish(folder, finished[0] / "runs")
    return folder


@pytest.mark.parametrize("path", ALL, ids=" ".join)
@pytest.mark.parametrize("all_values", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["one", "all"])
def test_a_wrong_value_ends_in_one_line(
    all_values: bool, path: tuple[str, ...], place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("spinbench.runs.render", lambda protocol, folder: None)
    failures = []
    for parameter, value in cases(path, all_values):
        words = with_value(path, parameter, value)
        try:
            done = spinbench(*words)
        except Exception as error:  # what a user would see as a traceback
            failures.append(f"{words[-8:]}: {type(error).__name__}: {error}")
            continue
        told = done.stderr if done.returncode == 2 and "Usage:" in done.stderr else done.stderr + done.stdout
        lines = [line for line in told.splitlines() if line.startswith(("error: ", "failed: ", "Usage: "))]
        if done.returncode not in (1, 2) or len(lines) != 1 or "\x1b" in told:
            failures.append(f"{words}: {done}")
    assert not failures, "\n".join(failures)
