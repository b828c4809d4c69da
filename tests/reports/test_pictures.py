"""Stored pictures on the page and in print: nothing but their own content, escaped."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from reports import pictures
from reports.numbers import shown, signed
from reports.page import TEMPLATES
from reports.pictures import PageComparison
from results import ResultsError
from results import pictures as stored
from tests.reports.tex import compile_tex

HOSTILE = r"""<script> alert('1"') </script> 50%_& # $ ~ ^ \ {} \input{x}"""
Store = Callable[..., PageComparison]


def pixels(seed: int, height: int = 12, width: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def panel(
    number: int, label: str, psnr: float | None, ssim: float, source: str = "published weights"
) -> dict[str, Any]:
    quality = {"psnr": psnr, "ssim": ssim}
    part = {"psnr": None if psnr is None else psnr - 1, "ssim": ssim / 2}
    files = {"view": f"{number}-view.png", "crop": f"{number}.png", "error": f"{number}-error.png"}
    return {"name": str(number), "label": label, "source": source, **files, "whole": quality, "part": part}


@pytest.fixture
def compare(tmp_path: Path) -> Store:
    """A function that stores a comparison of networks, a panel each, and reads it back."""

    def store(
        panels: list[dict[str, Any]], name: str = "one", image: str = "Set5/img_001", rule: str = "r"
    ) -> PageComparison:
        facts = {
            "image": image, "image_rule": rule, "scale": 4, "lr_origin": "stored-replicate", "size": [60, 40],
            "box": {"x": 3, "y": 5, "width": 16, "height": 12}, "box_rule": rule,
            "shown": {"x": 0, "y": 0, "width": 60, "height": 40}, "overview": "overview.png", "view": "hr-view.png",
            "crop": "hr.png", "lr_crop": "lr.png", "legend": "legend.png", "largest_error": 23, "panels": panels,
        }  # fmt: skip
        files = ["overview.png", "hr-view.png", "hr.png", "lr.png", "legend.png"]
        files += [each[key] for each in panels for key in ("view", "crop", "error")]
        images = {file: pixels(number) for number, file in enumerate(files)}
        stored.store_picture(name, "comparison", facts, images, tmp_path)
        found = pictures.page_comparisons(pictures.load_page_pictures(tmp_path)[0])
        return next(one for one in found if one.shown.name == name)

    return store


def page(*compared: PageComparison) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"shown": shown, "signed": signed}
    return str(environment.get_template("pictures.html").module.section(compared))  # type: ignore[attr-defined]


def text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_images_become_data_of_the_page(compare: Store, tmp_path: Path) -> None:
    one = compare([panel(1, "A", 30, 0.9)]).shown
    kind, data = one.src("1.png").split(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data) == (tmp_path / "pictures" / "one" / "1.png").read_bytes()
    assert one.size("1.png") == (16, 12)
    assert (one.name, one.kind, one.facts.scale) == ("one", "comparison", 4)
    for refused in (one.src, one.size):
        with pytest.raises(ResultsError, match=r"no image 'x.png', expected one of overview.png"):
            refused("x.png")


def test_values_are_marked_as_in_the_tables(compare: Store) -> None:
    one = compare(
        [panel(1, "A", 30.001, 0.9), panel(2, "B", 30.004, 0.91), panel(3, "C", 28, 0.90004), panel(4, "D", None, 1)]
    )
    entries = [[(entry.value, entry.mark) for entry in each.whole] for each in one.panels]
    assert entries == [
        [("30.00", "second"), ("0.9000", "")],
        [("30.00", "second"), ("0.9100", "second")],
        [("28.00", ""), ("0.9000", "")],
        [("∞", "best"), ("1.0000", "best")],
    ]
    assert [each.part[0].value for each in one.panels] == ["29.00", "29.00", "27.00", "∞"]


def test_the_page_says_what_was_measured_and_how_it_was_chosen(compare: Store) -> None:
    html = page(compare([panel(1, "Bicubic", 25.5, 0.8, "baseline"), panel(2, "IMDN", 30, 0.9)], rule="found so"))
    words = text(html)
    assert "Set5/img_001, ×4" in words
    assert "Image: found so. LR: stored-replicate." in words
    assert "Box 16×12 at (3, 5) of 60×40 HR pixels: found so." in words
    assert "Bicubic baseline Image 25.50 (second best) / 0.8000 (second best) Crop 24.50" in words
    assert "IMDN published weights Image 30.00 (best) / 0.9000 (best) Crop 29.00" in words
    assert "≥ 23" in words
    images = re.findall(r"<img [^>]*>", html)
    assert len(images) == 5 + 3 * 2
    for image in images:
        assert re.search(r' src="data:image/png;base64,[A-Za-z0-9+/=]+" width="16" height="12" alt="[^"]+"', image)


def test_a_page_leads_with_the_comparison_of_its_networks(compare: Store) -> None:
    few = compare([panel(1, "A", 30, 0.9), panel(2, "B", 30, 0.9)], name="few")
    many = compare([panel(number, "C", 30, 0.9) for number in (1, 2, 3)], name="many")
    other = compare(
        [panel(number, "D", 30, 0.9, f"run cpu-short/{number}-x4-s0") for number in (1, 2, 4)], name="other"
    )
    three = [few, many, other]
    assert pictures.leading_comparison(three, {"1", "2", "3"}, "cpu") is many
    assert pictures.leading_comparison(three, {"1", "2"}, "cpu") is few
    assert pictures.leading_comparison(three, {"4"}, "cpu") is None  # trained under another protocol
    assert pictures.leading_comparison(three, {"1", "2", "4"}, "cpu-short") is other


def test_the_slider_compares_any_two_and_needs_the_script_to_be_seen(compare: Store) -> None:
    html = page(compare([panel(1, "Bicubic", 25.5, 0.8), panel(2, "IMDN", 30, 0.9), panel(3, "CARN", 29, 0.9)]))
    assert html.count('<fieldset class="slider" hidden>') == 1
    for side, chosen in (("Left", "Bicubic"), ("Right", "CARN")):
        (options,) = re.findall(rf"{side} <select>(.*?)</select></label>", html, re.DOTALL)
        assert re.findall(r"<option[^>]*>(.*?)</option>", options) == ["HR", "Bicubic", "IMDN", "CARN"]
        assert re.findall(r"<option selected>(.*?)</option>", options) == [chosen]
    assert re.findall(r'alt="([^"]*)" data-view', html) == ["HR", "Bicubic", "IMDN", "CARN"]  # in the options' order
    assert "<legend>Compare two results: the whole image</legend>" in html
    assert re.search(r'<label class="divider">Divider <input type="range" min="0" max="100" value="50">', html)
    alone = page(compare([panel(1, "Bicubic", 25.5, 0.8)], name="two"))
    assert re.findall(r"<option selected>(.*?)</option>", alone) == ["Bicubic", "HR"]


def test_the_page_asks_for_nothing_and_runs_nothing(compare: Store) -> None:
    html = page(compare([panel(1, HOSTILE, 25.5, 0.8, HOSTILE)], image=HOSTILE, rule=HOSTILE))
    assert "<script" not in html
    assert not re.search(r"<[^>]*\s(on\w+|style)=", html)
    assert all(source.startswith("data:image/png;") for source in re.findall(r'src="([^"]*)"', html))
    assert re.findall(r'href="([^"]*)"', html) == ["one.tex"]  # beside the page
    assert html.count("&lt;script&gt; alert(&#39;1&#34;&#39;) &lt;/script&gt;") >= 6


def test_facts_of_another_picture_are_no_comparison(compare: Store, tmp_path: Path) -> None:
    compare([panel(1, "A", 25.5, 0.8)])
    assert [one.shown.name for one in pictures.page_comparisons(pictures.load_page_pictures(tmp_path)[0])] == ["one"]
    stored.store_picture("bad", "attribution", {"image": "x"}, {}, tmp_path)
    found, (left_out,) = pictures.load_page_pictures(tmp_path)
    assert [one.name for one in found] == ["one"] and "bad/picture.json: scale: Field required; if another" in left_out


# in print

PAPER = r"""\documentclass%s
\usepackage{graphicx}
\begin{document}
Before Figure~\ref{fig:one}.
\input{one}
After, on the same page.
\end{document}
"""


def test_print_shows_every_pixel(compare: Store, tmp_path: Path) -> None:
    one = compare([panel(1, "A", 30, 0.9)])
    pictures.write_figures([one], tmp_path / "report")
    names = {"one.tex", "one-overview.png", "one-hr.png", "one-1.png"}
    assert {path.name for path in (tmp_path / "report").iterdir()} == names
    with Image.open(io.BytesIO(one.shown.picture.png("1.png"))) as image:
        small = np.array(image)
    with Image.open(tmp_path / "report" / "one-1.png") as image:
        assert np.array_equal(np.array(image), small.repeat(16, axis=0).repeat(16, axis=1))
    before = {name: (tmp_path / "report" / name).read_bytes() for name in names}
    pictures.write_figures([one], tmp_path / "report")
    assert before == {name: (tmp_path / "report" / name).read_bytes() for name in names}


@pytest.mark.parametrize("count", [1, 4, 15])
def test_the_figure_compiles_alone(compare: Store, tmp_path: Path, count: int) -> None:
    panels = [panel(number, f"Network {number}", 30 + number / 8, 0.9) for number in range(count)]
    pictures.write_figures([compare(panels)], tmp_path / "report")
    printed = " ".join(compile_tex(tmp_path / "report" / "one.tex").split())
    for number in range(count):
        assert f"Network {number}" in printed
        assert f"{30 + number / 8:.2f}/0.9000" in printed
    assert "image: PSNR/SSIM" in printed and "crop: PSNR/SSIM" in printed
    assert "Figure 1: Set5/img 001, ×4" in printed  # the underscore of TeX's fonts is a rule
    images = subprocess.run(
        ["pdfimages", "-list", "one.pdf"], cwd=tmp_path / "report", capture_output=True, text=True, check=True
    )
    assert len(images.stdout.splitlines()) - 2 == count + 2


@pytest.mark.parametrize("paper", ["[twocolumn]{article}", "{llncs}"])
def test_the_figure_in_a_paper_with_hostile_names(compare: Store, tmp_path: Path, paper: str) -> None:
    if shutil.which("kpsewhich") and subprocess.run(["kpsewhich", "llncs.cls"], capture_output=True).returncode:
        pytest.skip("needs llncs (texlive-publishers)")
    panels = [panel(1, HOSTILE, 30, 0.9), panel(2, "SPIN (protocol published)", None, 1)]
    pictures.write_figures([compare(panels, image=HOSTILE, rule=HOSTILE)], tmp_path / "report")
    path = tmp_path / "report" / "paper.tex"
    path.write_text(PAPER % paper, encoding="utf-8")
    printed = " ".join(compile_tex(path).split())
    assert re.search(r"Before Figure 1\.", printed)
    assert "After, on the same page." in printed
    assert "∞/1.0000" in printed
    assert printed.count("<script>") >= 3
