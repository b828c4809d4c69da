"""A rendered page, as a test reads it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """The elements of a page, its text, the rows of its tables, and the items of its lists as texts."""

    VOID = frozenset({"meta", "link", "br", "img", "input", "hr"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.items: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "li":
            self.items.append("")
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"style", "script"} & set(self.open):
            return
        self.text += f" {data}"
        if "li" in self.open:
            self.items[-1] = f"{self.items[-1]} {data.strip()}".strip()
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data}".strip()

    def rows_of(self, label: str) -> list[list[str]]:
        """The rows with that label, which may bear a mark, over all tables of the page."""
        return [row for row in self.rows if row and re.fullmatch(rf"{re.escape(label)}( [a-z]+)?", row[0])]

    def row(self, label: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == label)
