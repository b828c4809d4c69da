"""What a reader does with the page: sort, filter, choose colours, point at networks, follow links, print."""

from __future__ import annotations

import math
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import ablations
from tests.page.conftest import PROTOCOLS, Visit

TABLE_1 = "Comparison with lightweight networks, ×4"
SET5_MEASURED = 5  # params, counted, GMACs and the published value stand before it


def table(page: Page, name: str) -> Locator:
    return page.get_by_role("region", name=name, exact=True).locator("table")


def column(of: Locator, index: int, body: int) -> list[str]:
    """The first line of a column's cells in one group of rows."""
    rows = of.locator("tbody").nth(body).locator("tr:visible")
    return [row.locator("th, td").nth(index).inner_text().split("\n")[0] for row in rows.all()]


def leading(text: str) -> float:
    """The number with which a cell begins; NaN for none."""
    found = re.match(r"[+−]?[\d,]+(\.\d+)?", text)
    return float(found[0].replace(",", "").replace("−", "-")) if found else math.nan


@pytest.mark.parametrize("index", [1, 2, SET5_MEASURED, SET5_MEASURED + 1])
def test_a_heading_sorts_up_then_down_then_back(visit: Visit, index: int) -> None:
    of = table(visit(), TABLE_1)
    before = [column(of, 0, body) for body in range(3)]
    heading = of.locator("thead th:not(.group)").nth(index)
    directions = []
    for sign in (1, -1):
        heading.get_by_role("button").click()
        directions.append(heading.get_attribute("aria-sort"))
        assert of.locator("[aria-sort]").count() == 1
        assert column(of, 0, 0) == ["Bicubic"]
        for body in (1, 2):
            numbers = [leading(text) for text in column(of, index, body)]
            known = [sign * number for number in numbers if not math.isnan(number)]
            assert known == sorted(known)
            assert all(map(math.isnan, numbers[len(known) :]))  # missing ones last, both ways
            assert sorted(column(of, 0, body)) == sorted(before[body])
        assert [column(of, 0, body) for body in range(3)] != before
    assert directions == ["ascending", "descending"]
    heading.get_by_role("button").click()
    assert [column(of, 0, body) for body in range(3)] == before
    assert of.locator("[aria-sort]").count() == 0


def test_names_sort_as_words_and_by_keyboard(visit: Visit) -> None:
    of = table(visit(), "Cost of networks, counted")
    of.get_by_role("button", name="Network").focus()
    of.page.keyboard.press("Enter")
    names = column(of, 0, 0)
    assert [name for name in names if name.endswith("blocks")] == [f"{blocks} blocks" for blocks in (4, 5, 6, 7, 9, 10)]
    others = [name for name in names if not name.endswith("blocks")]
    assert others == sorted(others, key=str.casefold)


def test_words_filter_the_rows_and_the_count_is_told(visit: Visit) -> None:
    page = visit()
    of, field = table(page, TABLE_1), page.get_by_role("searchbox", name=TABLE_1)
    total = of.locator("tbody tr").count()
    told = page.locator(".filter-line", has=field).get_by_role("status")
    field.fill("LATTICE")
    assert [column(of, 0, body)[:1] for body in (0, 2)] == [[], ["LatticeNet"]]
    assert [name[:10] for name in column(of, 0, 1)] == ["LatticeNet"] * 2
    expect(told).to_have_text(f"3 of {total} rows")
    field.fill("lattice cl")
    expect(told).to_have_text(f"1 of {total} rows")
    field.fill("no such network")
    expect(told).to_have_text(f"0 of {total} rows")
    field.fill("")
    assert of.locator("tbody tr:visible").count() == total
    expect(told).to_have_text("")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_until_the_reader_chooses(visit: Visit, scheme: str) -> None:
    page = visit(color_scheme=scheme)
    button = page.get_by_role("button", name="Dark")

    def is_dark() -> bool:
        red, green, blue = map(
            int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
        )
        assert (max(red, green, blue) < 60) != (min(red, green, blue) > 230)
        assert button.get_attribute("aria-pressed") == ("true" if red < 60 else "false")
        return red < 60

    assert is_dark() is (scheme == "dark")
    page.emulate_media(color_scheme="dark" if scheme == "light" else "light")
    assert is_dark() is (scheme == "light")
    button.click()
    assert is_dark() is (scheme == "dark")
    page.emulate_media(color_scheme=scheme)
    button.click()
    assert is_dark() is (scheme == "light")
    page.reload()
    assert is_dark() is (scheme == "dark")  # nothing is kept outside of the page


def test_a_network_of_fig_1_is_named_to_pointer_and_keyboard(visit: Visit) -> None:
    page = visit()
    points = page.locator("figure svg g[id^='tradeoff-table1-point-']")
    tip = page.locator(".tip")
    names = [point.get_attribute("aria-label") or "" for point in points.all()]
    assert {name.split(",")[0] for name in names} >= {"SPIN", "IMDN", "SwinIR-light"}
    points.nth(3).scroll_into_view_if_needed()
    box = points.nth(3).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(tip).to_contain_text(names[3])  # and of what lies over it
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()
    stops = page.locator("figure svg g[id^='tradeoff-table1-point-'][tabindex='0']")
    expect(stops).to_have_count(1)
    stops.focus()
    first = tip.inner_text()
    assert first in names
    page.keyboard.press("ArrowRight")
    expect(tip).to_be_visible()
    assert tip.inner_text() in names
    assert tip.inner_text() != first
    expect(stops).to_have_count(1)
    page.keyboard.press("Tab")
    expect(tip).to_be_hidden()


def test_the_slider_divides_two_images_by_pointer_and_keyboard(visit: Visit) -> None:
    page = visit()
    slider = page.get_by_role("group", name="Compare two results: the whole image")
    images, divider = slider.locator(".stage img"), slider.get_by_role("slider", name="Divider")
    expect(images).to_have_count(2)
    left, right = slider.get_by_role("combobox").all()
    right.select_option("SPIN")
    left.select_option("HR")
    shown = slider.locator("img[data-view][alt='HR']").last.get_attribute("src")
    assert images.nth(0).get_attribute("src") == shown
    assert images.nth(1).get_attribute("src") != shown
    expect(divider).to_have_attribute("aria-valuetext", "50% HR, 50% SPIN")
    divider.focus()
    page.keyboard.press("ArrowLeft")
    expect(divider).to_have_attribute("aria-valuetext", "49% HR, 51% SPIN")
    stage = slider.locator(".stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    stage.click(position={"x": box["width"] / 4, "y": box["height"] / 2})
    expect(divider).to_have_value("25")
    assert images.nth(1).evaluate("image => getComputedStyle(image).clipPath") == "inset(0px 0px 0px 25%)"


def test_claims_are_told_at_the_top_and_one_click_away(visit: Visit) -> None:
    page = visit("cpu")
    summary = page.get_by_role("region", name="Measured under protocol cpu")
    expect(summary).to_contain_text(
        re.compile(r"Of \d+ claims about these experiments, by the paper's own numbers: \d+ supported")
    )
    summary.get_by_role("link", name="All claims and their evidence").click()
    expect(page.get_by_role("heading", name="Claims of the paper")).to_be_in_viewport()
    budget = " (at 3,000 iterations)"  # of verdicts on networks that were trained here
    published = {"✓ supported", "✗ contradicted", "? undecided"}
    measured = {f"{word}{budget}" for word in ("✓ agrees in direction", "✗ disagrees in direction", "? open")}
    told = {verdict.split("\n")[0] for verdict in page.locator("td.verdict").all_inner_texts()}
    assert told <= published | measured
    assert told & published and told & measured


def test_the_first_tab_skips_to_the_results(visit: Visit) -> None:
    page = visit()
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the results")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_ledger_and_provenance_are_one_click_away(visit: Visit) -> None:
    page = visit()
    for name, inside in (("Ledger", "Decisions"), ("Provenance", "Provenance of each run")):
        expect(table(page, inside)).to_be_hidden()
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(table(page, inside)).to_be_visible()
        expect(page.get_by_role("heading", name=name)).to_be_in_viewport()


def test_a_link_to_a_decision_opens_the_ledger(visit: Visit) -> None:
    decision = ablations.ledger()[-1].id
    page = visit(fragment=f"#ledger-{decision}")
    expect(page.locator(f"#ledger-{decision}")).to_be_in_viewport()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_a_script_everything_is_there(visit: Visit, protocol: str) -> None:
    page = visit(protocol, java_script_enabled=False)
    for details in page.locator("details").all():
        if details.get_attribute("open") is None:
            details.locator("> summary").click()
    assert page.locator("main table tbody tr:not(:visible)").count() == 0
    assert page.locator("main section:not(:visible)").count() == 0
    assert page.locator("button, input:not([type=range])").count() == 0
    expect(page.locator("figure svg title").first).to_be_attached()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("width", [390, 820, 1300])
def test_the_page_is_as_wide_as_its_window(visit: Visit, protocol: str, width: int) -> None:
    page = visit(protocol, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_printed_page_holds_what_is_folded(visit: Visit, protocol: str, tmp_path: Path) -> None:
    page = visit(protocol, color_scheme="dark")
    unfolded = page.locator("details[open]").count()
    path = tmp_path / f"{protocol}.pdf"
    page.pdf(path=path, format="A4", landscape=True, margin=dict.fromkeys(("top", "right", "bottom", "left"), "12mm"))
    printed = subprocess.run(
        ["pdftotext", "-layout", str(path), "-"], capture_output=True, check=True, text=True
    ).stdout
    words = set(printed.split())
    assert {decision.id for decision in ablations.ledger()} <= words
    assert "Filter" not in words
    assert "Copy" not in words
    assert page.locator("details[open]").count() == unfolded


ATTACK = """() => new Promise(done => {
  const seen = [];
  document.addEventListener("securitypolicyviolation", event => seen.push(event.effectiveDirective));
  window.harmed = 0;
  const script = document.createElement("script");
  script.textContent = "window.harmed += 1";
  document.body.append(script);
  document.body.insertAdjacentHTML("beforeend", `<img src="https://example.org/x.png" onerror="window.harmed += 1">
    <style>body { display: none }</style><p id="planted" style="position: fixed">text</p>
    <iframe src="https://example.org/"></iframe>`);
  fetch("https://example.org/").then(() => window.harmed += 1, () => setTimeout(() => done({seen, harmed}), 200));
})"""


def test_the_policy_stops_what_is_not_the_pages_own(browser: Browser, reports_folder: Path) -> None:
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto((reports_folder / "published" / "index.html").as_uri())
    outcome = page.evaluate(ATTACK)
    assert outcome["harmed"] == 0
    wanted = {
        "script-src-elem",
        "script-src-attr",
        "img-src",
        "style-src-elem",
        "style-src-attr",
        "frame-src",
        "connect-src",
    }
    assert wanted <= set(outcome["seen"])
    assert page.evaluate("getComputedStyle(document.body).display") == "block"
    assert page.evaluate("getComputedStyle(document.querySelector('#planted')).position") == "static"
    context.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_screenshots_are_left_to_look_at(
    visit: Visit, reports_folder: Path, protocol: str, scheme: str, width: int
) -> None:
    page = visit(protocol, color_scheme=scheme, viewport={"width": width, "height": 900})
    path = reports_folder.parent / "screenshots" / f"{protocol}-{scheme}-{width}.png"
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 100_000  # text and figures, not an empty page
