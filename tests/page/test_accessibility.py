"""axe-core finds nothing serious, in either colours, with everything unfolded."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.page.conftest import PROTOCOLS, Visit

GRAVE = {"serious", "critical"}
UNFOLD = "document.querySelectorAll('details').forEach(details => details.open = true)"


def violations(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]}" for rule in found if rule["impact"] in GRAVE for node in rule["nodes"]
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_grave_violation(visit: Visit, protocol: str, scheme: str) -> None:
    page = visit(protocol, color_scheme=scheme)
    page.evaluate(UNFOLD)
    assert violations(page) == []


def test_axe_sees_a_violation_where_there_is_one(visit: Visit) -> None:
    page = visit()
    page.evaluate(UNFOLD)
    page.evaluate("document.querySelector('input[type=search]').removeAttribute('aria-label')")
    page.evaluate("document.querySelector('.filter').replaceWith(document.querySelector('input[type=search]'))")
    assert [text.split(":")[0] for text in violations(page)] == ["label"]
