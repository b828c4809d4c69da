"""Markdown in GitHub's flavour: what comes from data is escaped unless it says that it is Markdown already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import jinja2

from reports.layout import Cell
from reports.numbers import MarkedNumber


class Markdown(str):
    """A text that is Markdown already."""


_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}  # a backslash does not keep GitHub from these
_WRAPS = {"best": "**%s**", "second": "<ins>%s</ins>", "": "%s"}  # GitHub removes <u>


def escape(text: object) -> Markdown:
    """Text that appears as it is in a paragraph, a list or a cell of a table. White space becomes a blank."""
    if isinstance(text, Markdown):
        return text
    plain = " ".join(str(text).split())
    plain = re.sub(r"[\\`*_\[\]|~#]", r"\\\g<0>", plain)
    plain = re.sub(r"^(\d*)([-+=.)])(?!\d)", r"\1\\\2", plain)  # else a list or a line
    return Markdown(re.sub(r"[&<>$]", lambda sign: _ENTITIES[sign[0]], plain))


def environment(folder: Path) -> jinja2.Environment:
    """Templates whose values are escaped."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        finalize=escape,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    templates.filters |= {"cell": _cell, "superscript": _superscript}
    return templates


def _cell(cell: Cell | None) -> Markdown:
    if cell is None:
        return Markdown()
    if cell.state:
        return escape(cell.state)
    values = [_number(number) for number in cell.numbers.values() if number.value]
    return Markdown(" / ".join(values) + _superscript([cell.flag]))


def _number(number: MarkedNumber) -> str:
    return _WRAPS[number.mark] % escape(number.value) + (f" ± {escape(number.sd)}" if number.sd else "")


def _superscript(signs: Sequence[str]) -> Markdown:
    marks = ",".join(escape(sign) for sign in signs if sign)
    return Markdown(f"<sup>{marks}</sup>" if marks else "")
