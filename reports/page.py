"""The page: one self-contained HTML file, without external requests and without scripts other than its own."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from reports.numbers import shown, signed
from reports.tables import PUBLISHED_WEIGHTS
from reports.tradeoff import QUANTITIES
from results import BASELINE

TEMPLATES = Path(__file__).parent / "templates"
STYLES = ("style.css", "first.css", "print.css", "pictures.css", "superpixels.css")
SCRIPTS = ("script.js", "take.js", "tabs.js", "slider.js")
# three superpixels, as a data URI: the page asks for nothing, and a browser then asks for no favicon.ico
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#0072B2" d="M0 0h9l-2 7-7 2z"/>'
    '<path fill="#E69F00" d="M9 0h7v10l-9-3z"/><path fill="#009E73" d="M0 9l7-2 9 3v6H0z"/></svg>'
)
ICON = f"data:image/svg+xml;base64,{base64.b64encode(_ICON.encode()).decode()}"
_STYLE_ELEMENT = re.compile(r"<style[^<>]*>(.*?)</style>", re.DOTALL)
_STYLE_ATTRIBUTE = re.compile(r"""<[a-zA-Z][^<>]*?\sstyle="([^"]*)\"""")


class Distance(NamedTuple):
    """The difference between measured and published PSNR in dB: median absolute value, and the row with the largest."""

    source: str
    values: int
    median: float
    farthest: Any


def html_page(content: Mapping[str, Any]) -> str:
    """The page from what `render` gathered. Every text in it is escaped, unless it is Markup."""
    return _environment().get_template("report.html").render(content)


def overview_page(reports: Sequence[Any]) -> str:
    """The page over all reports; `reports` are of `overview.listed_reports`."""
    return _environment().get_template("overview.html").render(reports=reports)


def tables(study: Any, protocol: str) -> Markup:
    """The tables of a `Study`, one for each scale, as on its page."""
    template = _environment().get_template("comparison.html").make_module({"protocol": protocol})
    return Markup("\n").join(template.table(study, layout) for layout in study.layouts)  # type: ignore[attr-defined]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "signed": signed, "thousands": "{:,}".format}
    environment.globals |= {
        "policy": policy,
        "distances": distances,
        "quantities": QUANTITIES,
        "baseline": BASELINE,
        "icon": ICON,
        "style": _joined(STYLES),
        "script": _joined(SCRIPTS),
    }
    return environment


def policy(style: str, script: str, body: str) -> str:
    """The content security policy of a page: no request, no script but this one, and no style but those it has.

    `body` may contain style elements and attributes, as drawings do; each is allowed by its hash.
    """
    elements = [style, *_STYLE_ELEMENT.findall(body)]
    attributes = [html.unescape(text) for text in _STYLE_ATTRIBUTE.findall(body)]
    styles = " ".join(dict.fromkeys(map(_hash, [*elements, *attributes])))
    return (
        f"default-src 'none'; img-src data:; script-src {_hash(script)}; "
        f"style-src 'unsafe-hashes' {styles}; base-uri 'none'; form-action 'none'"
    )


def distances(table: pd.DataFrame) -> list[Distance]:
    """How far the PSNR of whole sets is from the paper's, for each source of networks in a table of `Study`."""
    compared = table[(table.metric == "psnr") & np.isfinite(table.difference)]
    found = []
    for source, words in ((PUBLISHED_WEIGHTS, "with published weights"), ("run", "of networks trained here")):
        rows = compared[compared.source == source]
        if len(rows):
            size = rows.difference.abs()
            found.append(Distance(words, len(rows), float(size.median()), rows.loc[size.idxmax()]))
    return found


def _joined(names: tuple[str, ...]) -> Markup:
    return Markup("\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names))


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
