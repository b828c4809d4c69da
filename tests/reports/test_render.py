"""The report of all, some and no results: what it says, that it is safe, and that it is reproducible."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import ablations
import results
from reports.page import ICON
from reports.render import render
from tests.reports.conftest import replace
from tests.reports.pages import Page

EXPERIMENTS = ["table2", "fig7", "switches"]
Store = Callable[..., results.Run]


def store_table2(store: Store, protocol: str = "quick", sets: dict[str, list[str]] | None = None) -> None:
    store("bicubic", protocol, psnr=27.0, datasets=sets, conventions={"rcan": 0.0, "float": 0.0})
    for position, variant in enumerate(ablations.load_experiment("table2").variants):
        store(variant, protocol, psnr=25 + position / 10, ssim=0.7 + position / 100, datasets=sets)


@pytest.mark.drawn
def test_quick_says_what_it_is_and_compares_nothing(store: Store, tmp_path: Path) -> None:
    store_table2(store)
    page = Page(render(EXPERIMENTS, "quick", tmp_path))
    plan = ablations.load_protocol("quick")
    assert plan.summary.strip() in page.text
    assert plan.expect in page.text
    assert "All 6 variants are measured." in page.text
    assert "nothing is compared with the paper" in page.text
    full = page.row("Full")
    assert full[1:4] == ["555,035", "41.25", "1,234.5"]
    assert full[4] == "32.48  (best) 0.8983  (best)"
    assert full[9] == "25.50 0.7500"
    assert page.row("Bicubic")[4:] == ["–"] * 5 + ["27.00 0.7000"]
    assert (
        "PyTorch, Synthetic CPU, 2 threads, float32, batch 1, LR 180×320, median of 3 passes in 3 rounds" in page.text
    )
    assert page.row("float")[1:] == ["×4", "embedded-test", "+0.0040", "+0.0040 to +0.0040", "6"]
    assert all(row.question in page.text and row.here in page.text for row in ablations.ledger())
    assert "a curve needs two measured networks, and 1 of 7 is measured" in page.text
    assert {"2.13.0", "f" * 64, "2025-01-01T00:00:00+00:00"} <= set(page.text.split())


def test_differences_to_the_paper(store: Store, tmp_path: Path) -> None:
    store_table2(store, "cpu", {"Set5": ["a", "b"], "BSDS100": ["c"]})
    page = Page(render(EXPERIMENTS, "cpu", tmp_path))
    assert "Full at ×4 on Set5: 25.50 dB measured, 32.48 dB published (−6.98 dB)." in page.text
    assert page.row("Full")[4:7] == [
        "32.48  (best) 0.8983  (best)",
        "25.50 0.7500",
        "−6.980 b −0.1483",
    ]
    table = pd.read_csv(tmp_path / "report" / "cpu" / "table2.csv")
    row = table.query("variant == 'full' and dataset == 'Set5' and metric == 'psnr'").iloc[0]
    assert (row.experiment, row.protocol, row.published, row.measured) == ("table2", "cpu", 32.48, 25.5)
    assert (row.n_images, row.n_seeds) == (2, 1)
    assert row.difference == pytest.approx(-6.98)


def test_some_variants_and_a_part_of_a_set(store: Store, tmp_path: Path) -> None:
    for variant in ("full", "svq", "patch"):
        store(variant, "cpu", datasets={"BSDS100": ["a", "b"]}, images={"BSDS100": 100})
    page = Page(render(EXPERIMENTS, "cpu", tmp_path))
    assert "3 of 6 variants are measured." in page.text
    assert "BSDS100: † 2 of 100 images, LR imresize-symmetric." in page.text
    assert [cell for cell in page.row("Full") if "†" in cell] == ["25.00 † 0.7000"]
    assert page.row("Parallel")[1:4] == ["–"] * 3
    assert "published (" not in page.text  # no sentence with a difference


@pytest.mark.slow
@pytest.mark.drawn
def test_the_published_point_is_drawn_beside_the_whole_of_its_set_only(store: Store, tmp_path: Path) -> None:
    figure = tmp_path / "report" / "cpu" / "fig7.svg"
    for images, drawn in ((5, False), (2, True)):
        for variant in ("depth-4", "full"):
            store(variant, "cpu", datasets={"Set5": ["a", "b"]}, images={"Set5": images})
        page = Page(render(["fig7"], "cpu", tmp_path))
        assert (">published<" in figure.read_text(encoding="utf-8")) is drawn
        assert ("The paper prints values only for 8 blocks." in page.text) is drawn
        assert ("Set5 (2 of 5 images)" in page.text) is not drawn


@pytest.mark.drawn
def test_nothing_measured_yet(tmp_path: Path) -> None:
    page = Page(render(EXPERIMENTS, "paper", tmp_path))
    assert page.text.count("Nothing is measured yet under protocol paper.") == 2 * len(EXPERIMENTS)
    assert "32.48" in page.row("Full")[5 - 4]
    assert "No run is stored under protocol paper." in page.text
    assert "and none of 7 is measured" in page.text
    assert not (tmp_path / "report" / "paper" / "fig7.pdf").exists()  # of axes without a curve


@pytest.mark.slow
@pytest.mark.drawn
def test_several_seeds(store: Store, tmp_path: Path) -> None:
    for seed in range(3):
        store("full", seed=seed, psnr=25.0 + seed)
        store("depth-4", seed=seed, psnr=24.0 + seed)
    store("svq")
    page = Page(render(EXPERIMENTS, "quick", tmp_path))
    assert "26.00" in page.row("Full")[-1]
    assert "± 1.00" in page.row("Full")[-1]
    assert "Seeds per network: SVQ 1, Full 3; ± is their standard deviation." in page.text
    assert "measured, mean of 3 seeds" in page.text
    assert "2 of 7 networks, on embedded-test." in page.text


def test_infinite_values_are_told(store: Store, tmp_path: Path) -> None:
    store("full", psnr=float("inf"), conventions={"rcan": 0.0})
    page = Page(render(["table2"], "quick", tmp_path))
    assert page.row("Full")[-1].startswith("∞")
    assert "Full on embedded-test: 4 infinite PSNR values (SR equal to HR), excluded from the mean." in page.text


def test_runs_under_older_settings_are_left_out_and_named(store: Store, tmp_path: Path) -> None:
    """Two seeds of which one was trained under an older protocol were averaged."""
    store("full", psnr=30.0)
    store("full", seed=1, psnr=12.0, training={"iterations": 7})
    page = Page(render(["table2"], "quick", tmp_path))
    told = "Full seed 1: of another definition (training.iterations: 7 -> 60)"
    assert "30.00" in page.row("Full *")[-1] and "±" not in page.row("Full *")[-1]
    folder = tmp_path / "report" / "quick"
    for text in (page.text, (folder / "table2.md").read_text(), (folder / "table2.tex").read_text()):
        assert told in text.replace("-&gt;", "->").replace("\\ensuremath{>}", ">")
    assert "full-x4-s0: " not in page.text
    assert pd.read_csv(folder / "table2.csv").query("variant == 'full' and measured > 0").n_seeds.tolist() == [1, 1]


@pytest.mark.drawn
def test_the_page_needs_nothing_else(store: Store, tmp_path: Path) -> None:
    store_table2(store)
    index = render(EXPERIMENTS, "quick", tmp_path)
    page = Page(index)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href"):
            target = attributes.get(name)
            own = target in (None, ICON) or (target or "").removeprefix("#") in ids
            assert own or (index.parent / (target or "")).is_file()  # what can be taken away lies beside the page
    linked = {attributes.get("href") for _, attributes in page.elements}
    written = {path.name for path in index.parent.iterdir()} - {"index.html"}
    assert written <= linked
    assert "@import" not in page.source
    assert set(re.findall(r"url\((.)", page.source)) <= {"#"}
    (policy,) = [values["content"] or "" for _, values in page.elements if "http-equiv" in values]
    assert policy.startswith("default-src 'none'; img-src data:; script-src 'sha256-")
    assert not {"'unsafe-inline'", "'unsafe-eval'", "*", "https:"} & set(policy.replace(";", " ").split())
    tables = [attributes for tag, attributes in page.elements if tag == "th"]
    assert all(attributes.get("scope") for attributes in tables)
    assert ("html", {"lang": "en"}) in page.elements
    assert [tag for tag, _ in page.elements].count("h1") == 1


@pytest.mark.slow
@pytest.mark.drawn
def test_the_policy_names_every_script_and_style_by_its_hash(store: Store, tmp_path: Path) -> None:
    store_table2(store)
    source = render(EXPERIMENTS, "quick", tmp_path).read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', source)
    named = set(re.findall(r"'sha256-(.*?)'", html.unescape(policy)))
    scripts = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    styles = re.findall(r"<style.*?>(.*?)</style>", source, re.DOTALL)
    attributes = [html.unescape(text) for text in re.findall(r'<\w[^<>]* style="(.*?)"', source)]
    assert len(scripts) == 1
    assert attributes
    used = {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts + styles + attributes}
    assert used == named


@pytest.mark.drawn
@pytest.mark.slow
def test_two_renders_are_equal_to_the_byte(store: Store, tmp_path: Path) -> None:
    store_table2(store)
    store("depth-4")
    first, second = (
        {path.name: path.read_bytes() for path in render(EXPERIMENTS, "quick", tmp_path).parent.iterdir()} for _ in "12"
    )
    assert first == second
    names = ("fig7", "training", "differences-table2", "tradeoff-table2")  # below bicubic, so that no gaps lead
    figures = [
        "fig7-wide.pdf",
        "tradeoff-table2-wide.pdf",
        *(f"{name}{end}" for name in names for end in (".pdf", ".png", ".svg")),
    ]
    tables = [f"{name}.{form}" for name in ("table2", "switches") for form in ("csv", "md", "tex")]
    tables += ["table2-tabular.tex", "switches-tabular.tex"]
    assert set(first) == {"index.html", "fig7.csv", *tables, *figures}


@pytest.mark.slow
def test_no_torch_and_in_time(store: Store, tmp_path: Path) -> None:
    store_table2(store)
    code = (
        "import pathlib, sys, time; from reports.render import render; "
        f"render({EXPERIMENTS}, 'quick', pathlib.Path({str(tmp_path)!r})); "
        "assert not {'torch', 'models', 'benchmarks', 'matplotlib.pyplot'} & set(sys.modules); "
        "assert time.process_time() < 10"  # not the time that other programs take
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("training.csv", "a,b\n1,2\n", "training.csv damaged or replaced"),
        ("cost.json", '{"parameters": 1234}', "cost.json damaged or replaced"),
        ("cost.json", "", "cost.json damaged or replaced"),
        ("quality.csv", "image,psnr\na,1\n", "quality.csv damaged or replaced"),
        ("weights.safetensors", "other", "weights.safetensors damaged or replaced"),
        ("run.yaml", "stages: {}\nformat: 2\nhash: 0\n", "run.yaml damaged or edited"),
        ("run.yaml", "- a list", "run.yaml expected a mapping, found list"),
        ("provenance.json", "[]", "provenance.json expected a mapping, found list"),
        ("provenance.json", '{"hash": "0"}', "provenance.json expected a record with a hash"),
        ("provenance.json", '{"hash": "0", "train": {"hash": "1"}}', "provenance.json damaged or edited"),
    ],
)
def test_what_is_damaged_is_named_and_left_out(
    store: Store, tmp_path: Path, file: str, content: str, message: str
) -> None:
    """The page of the other runs is written all the same."""
    run = store("full", psnr=31.0, parameters=600_123)
    store("svq", psnr=30.0)
    run.path(file).write_text(content)
    page = Page(render(["table2"], "quick", tmp_path))
    assert f"full-x4-s0: {message}" in page.text
    assert "30.00" in page.row("SVQ")[-1]
    shown = " ".join(page.row("Full"))
    assert ("31.00" in shown) == (file in ("training.csv", "cost.json"))
    assert ("600,123" in shown) == (file in ("training.csv", "quality.csv"))


def test_numbers_that_cannot_be_are_refused(store: Store, tmp_path: Path) -> None:
    """Also where nothing recorded the file's SHA-256."""
    run = store("full", psnr=31.0)
    text = run.path("quality.csv").read_text()
    for wrong in ("-3.5,0.7", "31.0,1.2", ",0.7"):
        changed = re.sub(r"(?<=rcan,a,).*", wrong, text)
        assert changed != text
        replace(run, "quality.csv", changed)
        page = Page(render(["table2"], "quick", tmp_path))
        assert "full-x4-s0: quality.csv not a table of quality" in page.text
        assert "31.00" not in " ".join(page.row("Full"))


@pytest.mark.slow
@pytest.mark.drawn
@pytest.mark.parametrize("dark", [False, True])
def test_a_browser_shows_the_page(store: Store, tmp_path: Path, dark: bool) -> None:
    """Headless Chromium lays the page out without a script and in the reader's colours."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium")
    from PIL import Image

    store_table2(store)
    index = render(EXPERIMENTS, "quick", tmp_path)
    picture = tmp_path / "page.png"
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--blink-settings=preferredColorScheme={0 if dark else 1}", "--window-size=1300,900",
            f"--screenshot={picture}", index.as_uri(),
        ],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with Image.open(picture) as image:
        pixels = image.convert("L")
        corner = pixels.getpixel((2, 2))
        assert (corner < 60) if dark else (corner > 230)
        assert len(pixels.getcolors(256) or []) > 50  # text and figures, not an empty page


def test_a_page_without_a_leading_figure_says_where_it_was_measured(store: Store, tmp_path: Path) -> None:
    store("full")
    page = Page(render(["table2"], "quick", tmp_path))  # figures are not drawn here, nor is the leading one
    assert page.source.count('<p class="muted origin">Synthetic CPU') == 1
