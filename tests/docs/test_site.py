"""The documentation site: what is generated is complete, and the built pages need no network."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

import results
from ablations import Cluster, Experiment, Protocol
from docs import generated
from docs.columns import MEANING
from tests.docs.blocks import DOCS

CHECKOUT = DOCS.parent
needs_mkdocs = pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs the extra docs")


def test_every_command_and_option_is_in_the_reference() -> None:
    page = generated.cli()
    every = dict(generated.commands())
    assert len(every) > 20
    for path, command in every.items():
        part = page.partition(f"## {path}\n")[2].partition("\n## ")[0]
        names = [name for option in command.params for name in getattr(option, "opts", []) if name.startswith("--")]
        assert [name for name in names if name != "--help" and f"`{name}`" not in part] == []
        assert "```console" in part
    assert str(CHECKOUT) not in page


def test_every_key_is_in_the_reference() -> None:
    page = generated.keys()
    fields = {key for schema in (Experiment, Protocol, Cluster) for key in schema.model_fields}
    assert [key for key in sorted(fields) if f"| `{key}` |" not in page] == []
    rows = [row for _, schemas in generated.SECTIONS.values() for one in schemas for row in generated.fields(one)]
    assert [key for key, kind, _, meaning in rows if not kind or not meaning] == []
    for heading in ("Training", "Schedule", "TableDisplay", "Better", "Unmeasured"):
        assert f"### {heading}\n" in page


def test_columns_have_a_meaning_and_meanings_have_a_column() -> None:
    named = {name for names in generated.tables().values() for name in names}
    assert named == set(MEANING)
    stored = results.MEASURED / "cpu-short" / "full-x4-s0"
    for file in ("quality.csv", "training.csv"):
        assert generated.tables()[file] == (stored / file).read_text().partition("\n")[0].split(",")


def test_python_is_described_without_places_of_this_machine() -> None:
    page = generated.python()
    assert "### spinbench.imresize" in page and "#### Network.upscale" in page and "### models.build" in page
    assert str(CHECKOUT) not in page and " at 0x" not in page


@needs_mkdocs
def test_findings_are_in_the_navigation_as_soon_as_they_are_written(tmp_path: Path) -> None:
    from docs import hooks

    config: Any = SimpleNamespace(nav=[{"Start": "index.md"}], docs_dir=str(tmp_path))
    assert hooks.on_config(config).nav == [{"Start": "index.md"}]
    (tmp_path / "findings.md").touch()
    for _ in range(2):  # a server builds again and again
        assert hooks.on_config(config).nav == [{"Start": "index.md"}, {"Findings": "findings.md"}]


@needs_mkdocs
def test_files_outside_of_the_site_are_named_instead_of_linked() -> None:
    from docs import hooks

    page: Any = SimpleNamespace(file=SimpleNamespace(src_uri="findings.md"))
    text = "[runs](../results/measured/README.md), [scale](scale.md#storage), [paper](https://example.org/a.md)"
    named = "runs (`results/measured/README.md`), [scale](scale.md#storage), [paper](https://example.org/a.md)"
    assert hooks.on_page_markdown(text, page) == named


class _Links(HTMLParser):
    """What a page refers to, and the names to which others may refer."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {key: value or "" for key, value in attrs}
        self.ids.add(given.get("id", ""))
        if tag in ("script", "img", "iframe") and given.get("src"):
            self.fetched.append(given["src"])
        if tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect"):
            self.fetched.append(given["href"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


@pytest.mark.slow
@needs_mkdocs
def test_the_site_is_built_strictly_and_needs_no_network(tmp_path: Path) -> None:
    site = tmp_path / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    done = subprocess.run(build, cwd=CHECKOUT, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    assert (site / "search" / "search_index.js").stat().st_size > 10_000
    read: dict[Path, _Links] = {}
    for page in site.rglob("*.html"):
        read[page.resolve()] = parser = _Links()
        parser.feed(page.read_text(encoding="utf-8"))
    assert len(read) > 30
    assert (site / "report" / "measured" / "cpu-short" / "index.html").resolve() in read
    assert [one for parser in read.values() for one in parser.fetched if re.match(r"(https?:)?//", one)] == []
    for page, parser in read.items():
        if page.name == "404.html":  # its links are those of a server's root
            continue
        for link in parser.links:
            address = urlsplit(link)
            if address.scheme:
                continue
            target = (page.parent / unquote(address.path)).resolve() if address.path else page
            assert target.exists(), f"{page.relative_to(site)}: {link}"
            if address.fragment and target in read and site / "report" not in target.parents:
                assert unquote(address.fragment) in read[target].ids, f"{page.relative_to(site)}: {link}"
