"""What became of every try, and the table over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rich.table import Table

COUNTS = ("tried", "survived", "lost", "wrong", "mute")


@dataclass
class Try:
    """A fault that happened once.

    lost: work that is gone or was done again, a command that crashed or did not end. wrong: a number or a file that
    is not that of an undisturbed run, and nobody said so. mute: no message that names the file and what to do.
    `message` is what was said.
    """

    fault: str
    what: str = ""
    message: str = ""
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    mute: list[str] = field(default_factory=list)
    seconds: float = 0

    @property
    def survived(self) -> bool:
        return not (self.lost or self.wrong or self.mute)

    @property
    def problems(self) -> str:
        named = (("lost", self.lost), ("wrong", self.wrong), ("mute", self.mute))
        return "; ".join(f"{kind}: {', '.join(found[:3])}" for kind, found in named if found)


@dataclass(frozen=True)
class Row:
    """All tries of one fault: in how many of them was something lost, wrong, mute, or nothing of it."""

    fault: str
    tried: int
    survived: int
    lost: int
    wrong: int
    mute: int
    seconds: float
    message: str


def rows(tries: Iterable[Try]) -> list[Row]:
    """A row per fault, in the order in which they came. Its message is that of the first try with a problem."""
    by_fault: dict[str, list[Try]] = {}
    for each in tries:
        by_fault.setdefault(each.fault, []).append(each)
    return [
        Row(
            fault,
            len(each),
            sum(one.survived for one in each),
            *(sum(bool(getattr(one, kind)) for one in each) for kind in ("lost", "wrong", "mute")),
            seconds=sum(one.seconds for one in each),
            message=_message(each),
        )
        for fault, each in by_fault.items()
    ]


def _message(tries: Sequence[Try]) -> str:
    failed = [f"{one.what}: {one.problems}" for one in tries if not one.survived]
    said = [one.message for one in tries if one.message]
    return (failed or said or [""])[0]


def table(found: Sequence[Row], title: str) -> Table:
    shown = Table(title=title)
    for heading in ("fault", *COUNTS, "seconds", "message"):
        shown.add_column(heading, justify="left" if heading in ("fault", "message") else "right", overflow="fold")
    for row in found:
        counts = (str(getattr(row, name)) for name in COUNTS)
        shown.add_row(row.fault, *counts, f"{row.seconds:.0f}", row.message[:160])
    return shown


def passed(found: Sequence[Row]) -> bool:
    """Whether something was tried, and nothing was lost, wrong or mute in any row."""
    return bool(found) and all(row.tried > 0 and row.survived == row.tried for row in found)
