"""Text from data and definitions stays text, on the page, in LaTeX, Markdown, CSV and figures."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import results
from reports.page import ICON
from reports.render import render
from tests.reports.pages import Page
from tests.reports.tex import compile_tex

Store = Callable[..., results.Run]
SCRIPT = "<script>alert(1)</script>"
SPECIALS = r"$&%#_{}~^\ "
HOSTILE = f"""{SCRIPT}"><img src=x onerror=alert(2)> 50% [a](b) `c` |d| $x$ {SPECIALS}{{{{ 7*7 }}}} </style></svg>"""


def store_hostile(store: Store, folder: Path) -> list[str]:
    """A table with a trade-off and a breakdown, and a curve, in which every text is hostile."""
    text, label = json.dumps(HOSTILE), json.dumps(SCRIPT + SPECIALS)  # JSON strings are YAML
    common = f"title: {text}\nsource: {text}\ncaption: {text}\nlabel: tab:x\nscales: [4]\nreference: full\n"
    claim = f"{{text: {text}, source: {text}, check: better, variants: [full], others: [imdn]}}"
    full = f"full: {{label: {text}, note: {text}, published: SPIN, model: spin, config: {{blocks: 8}}}}"
    four = f"depth-4: {{label: {label}, model: spin, config: {{blocks: 4}}}}"
    imdn = f"imdn: {{label: {label}, published: IMDN, model: imdn, weights: published}}"
    (folder / "table1.yaml").write_text(
        f"{common}kind: table\ndatasets: [Set5, {text}]\npublished: table1.csv\nvariants: {{{full}, {imdn}}}\n"
        f"tradeoff: {{dataset: Set5, scale: 4, source: {text}}}\nbreakdown: [full]\n"
        f"claims: {{one: {claim}}}\n"
    )
    sets = f"datasets: [{text}]\nvariants: {{{full}, {four}}}\n"
    (folder / "curve.yaml").write_text(f"{common}kind: curve\nx: blocks\n{sets}")
    for variant, weights in (("full", False), ("depth-4", False), ("imdn", True)):
        images = {"Set5": ["a", "b"], HOSTILE: [HOSTILE]}
        store(variant, psnr=32.4, weights=weights, datasets=images, conventions={"rcan": 0.0, HOSTILE: 0.1})
    run = results.Run("quick", "full", 4, 0, folder)
    cost = run.cost() or {}
    cost["machine"]["name"] = cost["measured"][0]["memory"]["method"] = HOSTILE
    cost["macs"]["by_operator"][HOSTILE] = 1
    cost["macs"]["by_module"] = {HOSTILE: 10_000_000_000}
    files = {"cost.json": run.write("cost.json", json.dumps(cost))}
    run.record("cost", results.digest({}), {"device": {"name": HOSTILE}, HOSTILE: HOSTILE}, files)
    return [str(folder / "table1.yaml"), str(folder / "curve.yaml")]


@pytest.mark.drawn
@pytest.mark.filterwarnings("ignore:constrained_layout not applied")  # the labels are absurdly long
def test_text_from_data_stays_text(store: Store, tmp_path: Path) -> None:
    index = render(store_hostile(store, tmp_path), "quick", tmp_path)
    folder = index.parent

    page = Page(index)
    tags = [tag for tag, _ in page.elements]
    assert not set(tags) & {"img", "iframe", "object"}
    assert [(tag, one["href"]) for tag, one in page.elements if tag == "link"] == [("link", ICON)]
    assert tags.count("script") == 1  # the page's own
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert " ".join(HOSTILE.split()) in " ".join(page.text.split())
    assert "49" not in re.findall(r"\{\{ (.*?) \}\}|49 </style>", page.source)

    for name in ("tradeoff-table1.svg", "curve.svg", "training.svg", "breakdown.svg"):
        drawing = xml.etree.ElementTree.parse(folder / name)
        assert not [element for element in drawing.iter() if element.tag.endswith(("script", "image"))]
    titles = {
        title.text
        for title in xml.etree.ElementTree.parse(folder / "tradeoff-table1.svg").iter()
        if title.tag.endswith("title")
    }
    assert any((title or "").startswith(f"{SCRIPT}{SPECIALS}, measured: 32.40 dB") for title in titles)
    assert any((title or "").startswith(f"{HOSTILE}, published: 32.48 dB") for title in titles)

    table = pd.read_csv(folder / "table1.csv")
    assert set(table.label) == {HOSTILE, SCRIPT + SPECIALS}
    assert HOSTILE in set(table.dataset)

    markdown = (folder / "table1.md").read_text(encoding="utf-8")
    assert not re.search(r"<(?!/?(sup|ins)>)", markdown)
    assert r"&lt;script&gt;alert(1)&lt;/script&gt;&#36;&amp;%\#\_{}\~^\\" in markdown
    assert r"\[a\](b) \`c\` \|d\| &#36;x&#36;" in markdown

    printed = "".join(compile_tex(folder / "table1.tex").split()).translate(str.maketrans("˜ˆ", "~^"))
    assert "<script>alert(1)</script>$&%#{}~^\\" in printed.replace("_", "")  # the underscore of TeX's fonts is a rule
