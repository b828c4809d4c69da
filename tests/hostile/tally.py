"""What became of every hostile input, and the table over all of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.table import Table

from tests.hostile.launcher import Done, Place, error_lines

COUNTS = ("tried", "refused", "handled", "executed", "escaped", "tracebacks", "hangs", "amiss")
BAD = COUNTS[3:]


@dataclass(frozen=True)
class Attempt:
    """A hostile input and the command that meets it.

    `make` puts the input into a place and gives the arguments. What the command prints must match `says`, which shows
    that it came as far as the input; `raw` are texts that must not stand as they are in files that it writes.
    """

    kind: str
    name: str
    make: Callable[[Place], Sequence[object]]
    says: str
    raw: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by the pattern of the names of files
    environment: Callable[[], dict[str, str]] = field(default=dict)


@dataclass(frozen=True)
class Outcome:
    """One word of `COUNTS` for how the attempt ended, and what is wrong, if anything is."""

    kind: str
    name: str
    word: str
    text: str
    seconds: float


def judge(attempt: Attempt, place: Place, done: Done) -> Outcome:
    """What a command has made of an input. The worst counts."""
    shown = done.text[-400:]
    reason = ""
    if done.executed:
        word = "executed"
    elif done.escaped or (reason := _raw(attempt, place, done.text)):
        word = "escaped"
    elif done.code is None:
        word = "hangs"
    elif "Traceback (most recent call last)" in done.text or done.code not in (0, 1, 2):
        word, reason = "tracebacks", f"exit code {done.code}"
    elif not re.search(attempt.says, done.text):
        word, reason = "amiss", f"does not say {attempt.says!r}"
    elif done.code == 0:
        word = "handled"
    elif not error_lines(done.text):
        word, reason = "amiss", "tells no error"
    else:
        word = "refused"
    return Outcome(attempt.kind, attempt.name, word, f"{reason}: {shown}" if word in BAD else shown, done.seconds)


def _raw(attempt: Attempt, place: Place, printed: str) -> str:
    """The first of the texts that stand as they are where they would do something; a terminal's escapes anywhere."""
    if any(unicodedata.category(one) in ("Cc", "Cf") for one in printed if one not in "\n\t"):
        return "a control character in what it prints"
    for pattern, texts in attempt.raw.items():
        files = [file for file in place.inside.rglob(pattern) if file.is_file()]
        if not files:
            return f"nothing was written as {pattern}"
        for file in files:
            content = file.read_text(encoding="utf-8", errors="replace")
            if found := next((text for text in texts if text in content), None):
                return f"{found!r} in {file.relative_to(place.inside)}"
    return ""


def rows(outcomes: Iterable[Outcome]) -> dict[str, dict[str, int]]:
    """How often each word was said, by kind of input, in the order in which they came."""
    found: dict[str, dict[str, int]] = {}
    for one in outcomes:
        row = found.setdefault(one.kind, dict.fromkeys(COUNTS, 0))
        row["tried"] += 1
        row[one.word] += 1
    return found


def table(found: dict[str, dict[str, int]], title: str) -> Table:
    shown = Table("input", title=title)
    for heading in COUNTS:
        shown.add_column(heading, justify="right")
    for kind, row in found.items():
        shown.add_row(kind, *(str(row[heading]) for heading in COUNTS))
    shown.add_section()
    shown.add_row("all", *(str(sum(row[heading] for row in found.values())) for heading in COUNTS))
    return shown


def passed(found: dict[str, dict[str, int]]) -> bool:
    """Whether something was tried, and every input was refused or handled."""
    good = all(row["tried"] == row["refused"] + row["handled"] for row in found.values())
    return bool(found) and good


def images(folder: Path, names: Sequence[str] = ("a.png",), size: tuple[int, int] = (32, 32)) -> Path:
    """A folder of small images."""
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name, format="PNG")
    return folder
