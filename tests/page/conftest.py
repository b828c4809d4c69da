"""Pages of synthetic results in headless Chromium; `nox -s page` runs these tests, the plain test run does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

import ablations
import results
from reports.render import render
from tests.page.pictures import store_pictures
from tests.reports.conftest import Store, storing

EXPERIMENTS = ["table1", "table2", "fig7"]
PROTOCOLS = ["published", "cpu"]  # checkpoints of others; networks trained here, over three seeds
Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def reports_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports of the same synthetic results under each protocol, <protocol>/index.html and its neighbours."""
    root = tmp_path_factory.mktemp("results")
    store_all(storing(root))
    store_pictures(root)
    for protocol in PROTOCOLS:
        render(EXPERIMENTS, protocol, root)
    return root / "report"


def store_all(store: Store) -> None:
    """Whole Set5 and a part of Urban100: the networks of Table 1 at every scale, those of Table 2 and Fig. 7 at x4."""
    sets: dict[str, Any] = {
        "datasets": {"Set5": ["baby", "bird", "butterfly", "head", "woman"], "Urban100": ["img_001", "img_002"]},
        "images": {"Set5": 5, "Urban100": 100},
    }
    networks = ablations.load_experiment("table1").variants
    printed = results.published("table1.csv").query("dataset == 'Set5'").set_index(["method", "scale"])
    for scale in (2, 3, 4):
        store(results.BASELINE, "published", scale=scale, psnr=28.43, **sets)
        for position, (name, variant) in enumerate(networks.items()):
            if variant.weights == "published" and variant.status is None:
                theirs = (variant.published, scale)
                psnr, ssim = (
                    printed.loc[theirs, ["psnr", "ssim"]] if theirs in printed.index else (30.0 + position, 0.8)
                )
                kept = {"psnr": psnr + position / 500, "ssim": ssim, "parameters": 500_000 + 61_803 * position}
                store(
                    name, "published", scale=scale, weights=True, conventions={"rcan": 0.0, "y8": -0.02}, **kept, **sets
                )
    store(results.BASELINE, "cpu", psnr=28.43, conventions={"rcan": 0.0, "float": 0.0}, **sets)
    trained = [*ablations.load_experiment("table2").variants, *ablations.load_experiment("fig7").variants]
    for position, name in enumerate(dict.fromkeys(trained)):
        for seed in range(3):
            kept = {"psnr": 28.5 + position / 10 + seed / 100, "ssim": 0.8 + position / 1000}
            store(name, "cpu", seed, parameters=400_000 + 50_000 * position, **kept, **sets)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("these tests need Chromium: on Debian, apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, reports_folder: Path) -> Iterator[Visit]:
    """Opens the page of a protocol in a window of its own, with a fragment and settings of a browser context.

    At the end no page may have written to the console, failed in its script or asked for anything but itself.
    """
    contexts, troubles = [], []

    def opened(protocol: str = "published", fragment: str = "", **settings: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1300, "height": 900}} | settings)
        contexts.append(context)
        page = context.new_page()
        address = (reports_folder / protocol / "index.html").as_uri()
        page.on("console", lambda message: troubles.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: troubles.append(f"script: {error}"))
        page.on(
            "request",
            lambda request: None if request.url.startswith((address, "data:")) else troubles.append(request.url),
        )
        page.goto(address + fragment)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert troubles == []
