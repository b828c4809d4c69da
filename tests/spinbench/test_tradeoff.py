"""The trade-off as a table: who is on the front, who beats the others, and what cannot be asked."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

import results
from spinbench.options import UsageError
from spinbench.report import app


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two networks of Table 1 at x4 on Set5: BSRN is better and cheaper than IMDN, but slower."""
    networks = (("imdn", 32.2, 715176, 40e9, 0.1), ("bsrn", 32.35, 352000, 20e9, 0.2))
    for variant, psnr, parameters, macs, seconds in networks:
        run = results.Run("published", variant, 4, 0, tmp_path)
        run.describe(
            {"variant": variant, "source": "published weights", "ensemble": False},
            {"evaluate": {"images": {"Set5": 1}}},
        )
        rows = f"dataset,lr_origin,convention,image,psnr,ssim\nSet5,stored,rcan,a,{psnr},0.9\n"
        results.write(run.path("quality.csv"), rows)
        entry = {
            "implementation": "PyTorch", "lr_size": [90, 160], "macs": int(macs),
            "activations": {"convolutions": 1, "products": 1}, "latency": {"median_s": seconds},
        }  # fmt: skip
        machine = {"kind": "cpu", "name": "X [bold]"}
        cost = {"parameters": parameters, "measured": [entry], "machine": machine}
        results.write(run.path("cost.json"), json.dumps(cost))
    return tmp_path


def rows(folder: Path, *arguments: object) -> tuple[str, dict[tuple[str, str], list[str]]]:
    """The output of the command, and the cells of its table by network and kind."""
    result = CliRunner().invoke(
        app, ["tradeoff", "--results", str(folder), *map(str, arguments)], catch_exceptions=False
    )
    assert result.exit_code == 0
    cells = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in result.output.splitlines() if "│" in line
    ]
    return result.output, {(name, kind): rest for name, kind, *rest in cells}


def test_parameters_of_published_and_measured_networks(folder: Path) -> None:
    output, found = rows(folder)
    assert "PSNR over parameters on Set5, x4" in output
    assert found["BSRN", "measured"] == ["352", "32.35", "yes"]
    assert found["IMDN", "measured"] == ["715", "32.20", "dominated by BSRN"]
    assert found["SPIN", "published"] == ["555", "32.48", "yes"]
    assert found["IMDN", "published"] == ["715", "32.21", "dominated by RFDN, SPIN"]
    assert len(found) == 15 + 2


def test_latency_with_its_conditions(folder: Path) -> None:
    output, found = rows(folder, "--x", "latency")
    assert found == {
        ("IMDN", "measured"): ["100.0", "32.20", "yes"],
        ("BSRN", "measured"): ["200.0", "32.35", "yes"],
        ("IMDN", "published PSNR, latency measured"): ["100.0", "32.21", "yes"],
    }
    assert "latency: PyTorch, X [bold], batch 1, LR 90×160" in output


def test_ssim_of_another_set_and_scale(folder: Path) -> None:
    output, found = rows(folder, "--y", "ssim", "--dataset", "Urban100", "--scale", 2)
    assert "SSIM over parameters on Urban100, x2" in output
    assert found["CARN", "published"][:2] == ["1,592", "0.9256"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "Kodak"], "--dataset Kodak: expected one of Set5, Set14, BSDS100, Urban100, Manga109"),
        (["--width", "both"], "--width both: belongs to --output, which is not given"),
        (["--scale", "8"], "--scale 8: expected one of 2, 3, 4"),
        (
            ["--x", "memory"],
            "table1: no network has both PSNR and peak memory on any set at x4 under protocol published",
        ),
    ],
)
def test_what_cannot_be_shown_is_told(folder: Path, arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["tradeoff", "--results", str(folder), *arguments])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception) == message


@pytest.mark.parametrize(("name", "start"), [("f.pdf", b"%PDF"), ("new/f.svg", b"<?xml"), ("f.png", b"\x89PNG")])
def test_the_figure_is_drawn_into_a_file(folder: Path, name: str, start: bytes) -> None:
    output, _ = rows(folder, "--output", folder / name, "--x", "latency", "--width", "both")
    assert f"figure: {folder / name}" in output.replace("\n", "")
    content = (folder / name).read_bytes()
    assert content.startswith(start)
    if name.endswith("pdf"):
        assert b"/MediaBox [ 0 0 495 " in content  # two columns of CVPR and what is between them
        assert b"/Type3" not in content


def test_another_kind_of_file_is_told_before_anything_is_read() -> None:
    result = CliRunner().invoke(app, ["tradeoff", "nothing.yaml", "--output", "f.jpg"])
    assert str(result.exception) == "--output f.jpg: expected a file that ends in .pdf, .svg, .png"


def test_another_axis_is_a_wrong_argument(folder: Path) -> None:
    assert CliRunner().invoke(app, ["tradeoff", "--results", str(folder), "--x", "watts"]).exit_code == 2


def test_the_efficiency_score_names_its_baseline(folder: Path) -> None:
    output, _ = rows(folder, "--score", "imdn")
    lines = [[cell.strip() for cell in line.strip("│").split("│")] for line in output.splitlines() if "│" in line]
    scores = {name: float(score) for name, score in (line for line in lines if len(line) == 2)}
    assert "NTIRE efficiency score, baseline IMDN, x4" in " ".join(output.split())
    assert scores["IMDN"] == round(math.exp(2), 2)
    parts = 0.7 * math.exp(4) + 0.15 * math.exp(2 * 20e9 / 40e9) + 0.15 * math.exp(2 * 352000 / 715176)
    assert scores["BSRN"] == round(parts, 2)
    assert "0.7 exp(2 latency / IMDN's)" in " ".join(output.split())


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("imdm", "--score imdm: not a variant of table1; did you mean 'imdn'? known: carn"),
        ("carn", "--score carn: its latency was not measured at x4"),
    ],
)
def test_a_baseline_without_a_score_is_told(folder: Path, baseline: str, message: str) -> None:
    result = CliRunner().invoke(app, ["tradeoff", "--results", str(folder), "--score", baseline])
    assert isinstance(result.exception, UsageError)
    assert str(result.exception).startswith(message)
