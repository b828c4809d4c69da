"""The first screen, and what a reader takes away: copied texts, files beside the page, tables of every scale."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.conftest import Visit

COPY = "Copy LaTeX ×4 of Comparison with lightweight networks"
TABLES = [f"Comparison with lightweight networks, ×{scale}" for scale in (2, 3, 4)]


@pytest.mark.parametrize("protocol", ["published", "cpu"])
def test_the_first_screen_holds_the_result(visit: Visit, protocol: str) -> None:
    page = visit(protocol, viewport={"width": 1400, "height": 900})
    result = page.get_by_role("region", name=f"Measured under protocol {protocol}")
    for part in (".warning", "figure .scroll svg", ".sentences", ".strip", ".origin"):
        box = result.locator(part).first.bounding_box()
        assert box is not None and box["height"] > 0
        assert box["y"] + box["height"] <= 900, part
    warning = result.locator(".warning").bounding_box()
    assert warning is not None and warning["height"] < 40  # one line


def test_the_latex_is_copied_by_keyboard(browser: Browser, reports_folder: Path) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((reports_folder / "published" / "index.html").as_uri())
    page.get_by_role("button", name=COPY).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("LaTeX ×4 copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == (reports_folder / "published" / "table1-x4-tabular.tex").read_text(encoding="utf-8")
    page.get_by_role("button", name="Copy CSV of Comparison with lightweight networks").click()
    expect(page.get_by_text("CSV copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == (reports_folder / "published" / "table1.csv").read_text(encoding="utf-8")
    context.close()


def test_where_the_clipboard_is_denied_the_text_is_selected(visit: Visit, reports_folder: Path) -> None:
    page = visit()
    page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('denied')); }")
    page.get_by_role("button", name=COPY).click()
    expect(page.get_by_text("The text is selected")).to_be_visible()
    selected = page.evaluate("getSelection().toString()")
    assert selected.strip() == (reports_folder / "published" / "table1-x4-tabular.tex").read_text().strip()


def test_every_linked_file_lies_beside_the_page(visit: Visit, reports_folder: Path) -> None:
    page = visit()
    links = page.locator("a:not([href^='#'])").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert {"table1.csv", "table1.tex", "table1.md", "tradeoff-table1.pdf", "deviations-table1.pdf"} <= set(links)
    assert all((reports_folder / "published" / link).is_file() for link in links)


def shown(page: Page) -> list[bool]:
    return [page.locator(f"[aria-label='{name}']").is_visible() for name in TABLES]


def test_scales_are_tabs_and_all_are_shown_without_a_script_and_on_paper(visit: Visit) -> None:
    page = visit()
    tabs = page.get_by_role("tablist", name="Scale").get_by_role("tab")
    expect(tabs).to_have_text(["×2", "×3", "×4"])
    assert shown(page) == [False, False, True]
    tabs.nth(2).focus()
    page.keyboard.press("ArrowRight")
    expect(tabs.nth(0)).to_be_focused()
    expect(tabs.nth(0)).to_have_attribute("aria-selected", "true")
    assert shown(page) == [True, False, False]
    tabs.nth(1).click()
    assert shown(page) == [False, True, False]
    page.emulate_media(media="print")
    assert shown(page) == [True, True, True]
    assert shown(visit(java_script_enabled=False)) == [True, True, True]


@pytest.mark.parametrize("width", [390, 800])
def test_captions_and_sections_are_not_cut(visit: Visit, width: int) -> None:
    page = visit(viewport={"width": width, "height": 844})
    edges = page.locator("main .caption:visible, main figcaption:visible, nav a").evaluate_all(
        "parts => parts.filter(part => !part.closest('.scroll')).map(part => part.getBoundingClientRect().right)"
    )
    assert len(edges) > 10
    assert max(edges) <= width


def test_headings_of_a_table_stay_in_sight(visit: Visit) -> None:
    page = visit(viewport={"width": 1400, "height": 500})
    region = page.get_by_role("region", name=TABLES[2], exact=True)
    region.locator("tbody tr").last.scroll_into_view_if_needed()
    expect(region.locator("thead th").last).to_be_in_viewport()
