"""The section on what SPIN sees: its images, their descriptions, and names that try to be markup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest

from reports import pictures as page_pictures
from reports.numbers import shown, signed
from reports.page import TEMPLATES
from results import pictures
from tests.reports.pages import Page

HOSTILE = '<script>alert(1)</script>" onload="x'


def block(number: int, spca: bool = True, ispa: bool = True) -> dict[str, Any]:
    views = ["superpixels", "association", *["selected", "ignored"] * ispa, *["reads", "attention"] * spca]
    return {
        "number": number,
        "size": 12,
        "rows": 3,
        "columns": 4,
        "empty": 1,
        "top_n": 144 if ispa else None,
        "ignored": 0.25 if ispa else None,
        "entropy": 1.234,
        "underflow": 0.5,
        "saturated": 0.125,
        "marked": {
            "row": 0,
            "column": 2,
            "pixels": 321,
            "most_associated": 0.875,
            "associated_elsewhere": 0.75,
            "selected_elsewhere": 33 if ispa else None,
            "read_elsewhere": 0.91 if spca else None,
            "most_read": 0.0004 if spca else None,
            "attended_elsewhere": 0.93 if spca else None,
            "most_attended": 0.07 if spca else None,
        },
        "files": {
            view: f"block-{number}-{view}.png" if view in views else None
            for view in ("superpixels", "association", "selected", "ignored", "reads", "attention")
        },
    }


def stored(root: Path, blocks: list[dict[str, Any]], **change: Any) -> None:
    facts = {
        "image": "Set5/a",
        "scale": 4,
        "lr_origin": "stored-replicate",
        "network": "Full",
        "source": "run quick/full-x4-s0",
        "depth": 8,
        "size": [48, 36],
        "zoom": 8,
        "at": [30, 10],
        "at_rule": "chosen by hand",
        "legend": "legend.png",
        "marked_colour": "#ff2d55",
        "ignored_colour": "#ff8c00",
        "blocks": blocks,
        **change,
    }
    files = ["legend.png", *(file for each in blocks for file in each["files"].values() if file)]
    pictures.store_picture("p", "superpixels", facts, {file: np.zeros((36, 48, 3), np.uint8) for file in files}, root)


def section(root: Path) -> Page:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"shown": shown, "signed": signed}
    template = environment.from_string('{% from "superpixels.html" import section %}{{ section(found) }}')
    page = root / "page.html"
    page.write_text(template.render(found=page_pictures.load_page_pictures(root)[0]), encoding="utf-8")
    return Page(page)


def images(page: Page) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in page.elements if tag == "img"]


def test_every_view_is_shown_and_described(tmp_path: Path) -> None:
    stored(tmp_path, [block(1), block(8)])
    page = section(tmp_path)
    assert len(images(page)) == 1 + 2 * 6
    for image in images(page):
        assert (image["src"] or "").startswith("data:image/png;base64,")
        assert (image["width"], image["height"]) == ("48", "36")
    described = " ".join(image["alt"] or "" for image in images(page))
    for words in (
        "12 superpixels of block 8",
        "75.0\u00a0% of the sum",
        "144 pixels",
        "25.0\u00a0% of the pixels",
        "93.0",
    ):
        assert words in described
    assert page.rows[1] == ["1", "12×12", "12", "1", "144", "25.0\u00a0%", "1.23", "50.0\u00a0%", "12.5\u00a0%"]
    assert "2 of 8 blocks" in page.text
    assert "pixel (30, 10), chosen by hand" in page.text
    assert "Weights: run quick/full-x4-s0" in page.text


@pytest.mark.parametrize(
    ("parts", "present", "absent"),
    [
        ({"spca": False}, ["Top-144", "Ignored"], ["Reads"]),
        ({"ispa": False}, ["Reads", "Attends to"], ["Top-"]),
    ],
)
def test_variants_show_what_they_have(
    tmp_path: Path, parts: dict[str, bool], present: list[str], absent: list[str]
) -> None:
    stored(tmp_path, [block(1, **parts)])
    page = section(tmp_path)
    assert len(images(page)) == 1 + 4
    views = page.text[page.text.index("Block 1 ") :]
    assert all(word in views for word in present) and not any(word in views for word in absent)


def test_names_are_text(tmp_path: Path) -> None:
    stored(tmp_path, [block(1)], image=HOSTILE, network=HOSTILE, source=HOSTILE, at_rule=HOSTILE, lr_origin=HOSTILE)
    page = section(tmp_path)
    assert page.text.count("<script>alert(1)</script>") >= 4
    assert not any(tag == "script" for tag, _ in page.elements)
    assert not any(name == "style" or name.startswith("on") for _, attributes in page.elements for name in attributes)
