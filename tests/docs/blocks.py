"""The blocks of code in the documentation, and what they are for.

    ``` sh                                      commands, which the session `tests` executes
    ``` { .sh .slow }                           executed by the session `slow`
    ``` { .sh .elsewhere title="Needs ..." }    not executed here, as the reader sees; options are checked
    ``` { .yaml title="my.yaml" }               a file of the reader's, which later commands use
    ``` python                                  a snippet, executed with those before it on the page
    ``` { .text .output }                       lines that the block before it prints

The blocks of a page are executed one after the other, in one folder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs"
FENCE = re.compile(r"^``` ?(?P<head>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"sh", "python", "yaml", "text"}


class Block(NamedTuple):
    """A block of a page; `title` is the name of a file, or the reason why it is not executed here."""

    line: int
    language: str
    marks: set[str]
    title: str
    body: str

    @property
    def commands(self) -> list[str]:
        """The lines of a terminal, those that end with a backslash joined with the next."""
        lines = self.body.replace("\\\n", " ").splitlines() if self.language == "sh" else []
        return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in their order. Raises ValueError for a head that is not one of the above."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in FENCE.finditer(text):
        head = fence["head"].strip()
        title = re.search(r'title="([^"]*)"', head)
        words = re.findall(r"\.([\w-]+)", re.sub(r'"[^"]*"', "", head)) if head.startswith("{") else [head]
        marks = set(words) - LANGUAGES
        if "output" in marks:
            marks |= found[-1].marks & {"slow", "elsewhere"}  # of the block before it
        line = text.count("\n", 0, fence.start()) + 1
        if len(set(words) & LANGUAGES) != 1 or marks - {"slow", "elsewhere", "output"}:
            raise ValueError(f"{page}:{line}: {head!r} is no head of a block, see {Path(__file__).name}")
        if "elsewhere" in marks and (title is None or not title[1].startswith("Needs ")):
            raise ValueError(f"{page}:{line}: a block that is not executed needs a title, such as Needs a GPU")
        language = next(word for word in words if word in LANGUAGES)
        found.append(Block(line, language, marks, title[1] if title else "", fence["body"]))
    return found


def pages() -> list[Path]:
    """The pages that are written by hand and have blocks."""
    return [page for page in sorted(DOCS.rglob("*.md")) if FENCE.search(page.read_text(encoding="utf-8"))]
