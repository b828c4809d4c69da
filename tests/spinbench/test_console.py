"""Progress on a terminal: the bars of what has ended are gone, and all together never exceed the whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from spinbench import console as module
from spinbench.console import ConsoleProgress


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "console", Console(file=io.StringIO(), force_terminal=True, width=100))


def shown(progress: ConsoleProgress) -> list[tuple[str, float]]:
    assert progress._bars
    return [(task.description, task.completed) for task in progress._bars.tasks]


def test_what_is_done_in_turn_leaves_no_bars() -> None:
    with ConsoleProgress(5) as progress:
        for count, name in enumerate(("Set5", "Set14", "BSDS100"), start=1):
            advance = progress.stage(name, "evaluate")
            advance(5, 10, "img")
            assert shown(progress) == [("all runs", pytest.approx(count - 1 + 0.45)), (f"{name} evaluate", 5)]
            progress.done(name)
            assert shown(progress) == [("all runs", count)]


def test_runs_at_the_same_time_have_a_bar_each() -> None:
    with ConsoleProgress(2) as progress:
        first, second = progress.stage("a", "train"), progress.stage("b", "train")
        first(1, 2, "")
        second(1, 4, "")
        assert shown(progress)[0] == ("all runs", pytest.approx(0.45 + 0.225))
        progress.done("a done", "a")
        assert [name for name, _ in shown(progress)] == ["all runs", "b train"]
        second(2, 4, "")
        assert shown(progress)[0] == ("all runs", pytest.approx(1.45))
        progress.stage("b", "evaluate")
        assert [name for name, _ in shown(progress)] == ["all runs", "b evaluate"]


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """On it bars would show nothing until the end."""
    shown = io.StringIO()
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(module, "console", Console(file=shown, force_terminal=True, width=100))
    with ConsoleProgress(1) as progress:
        progress.stage("a", "train")(1, 4, "loss 3.00")
    assert shown.getvalue().startswith("  a train 1/4 loss 3.00 (left: ")
