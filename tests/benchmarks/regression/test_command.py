"""`spinbench check`: exit codes, files, and references that are written only when told."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from benchmarks.regression import checks
from results import references
from results.references import Measured, Reference
from spinbench import check as cli_check
from tests.benchmarks.regression.planted import NAME


@pytest.fixture
def spinbench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[int, str]]]:
    threads = torch.get_num_threads()

    def command(*arguments: object) -> tuple[int, str]:
        found = CliRunner().invoke(cli_check.app, [*map(str, arguments)])
        return found.exit_code, found.output

    yield command
    torch.set_num_threads(threads)


@pytest.fixture
def measures(reference: Reference, monkeypatch: pytest.MonkeyPatch) -> Callable[[Measured], None]:
    """Decides what is measured."""

    def decide(measured: Measured) -> None:
        monkeypatch.setattr(checks, "measured", lambda *arguments: measured)

    decide(reference.measured)
    return decide


def slower(measured: Measured, forward: float, calibration: float = 1) -> Measured:
    assert measured.cost is not None
    timings = {
        implementation: replace(
            timing,
            forward_s=tuple(forward * seconds for seconds in timing.forward_s),
            calibration_s=tuple(calibration * seconds for seconds in timing.calibration_s),
        )
        for implementation, timing in measured.cost.timings.items()
    }
    return replace(measured, cost=replace(measured.cost, timings=timings))


def test_bicubic_passes_for_real(spinbench: Callable[..., tuple[int, str]]) -> None:
    code, output = spinbench("--reference", "quick/bicubic-x4-s0")
    assert code == 0, output
    assert "regression check: equal" in output


def test_exit_codes_and_files(
    reference: Reference,
    spinbench: Callable[..., tuple[int, str]],
    measures: Callable[[Measured], None],
    tmp_path: Path,
) -> None:
    arguments = ["--reference", NAME, "--json", tmp_path / "c" / "check.json", "--markdown", tmp_path / "check.md"]
    for measured, expected in (
        (reference.measured, 0),
        (slower(reference.measured, 1.5), 1),
        (slower(reference.measured, 3, 3), 0),
    ):
        measures(measured)
        code, output = spinbench(*arguments)
        assert code == expected, output
        verdict = json.loads((tmp_path / "c" / "check.json").read_text())["verdict"]
        assert verdict != "worse" if code == 0 else verdict == "worse"
        assert f"### Regression check: {verdict}" in (tmp_path / "check.md").read_text()
        assert f"regression check: {verdict}" in output
        assert "latency / calibration" in output


@pytest.mark.usefixtures("measures")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--update"], "error: --update: expected --reason with it"),
        (["--reason", "r"], "error: --reason: expected --update with it"),
        (
            ["--update", "--reason", "r", "--json", "j", "--psnr", "1"],
            "compared, expected no --psnr and --json with it",
        ),
        (["--data", "embedded-test,embedded-test"], "expected each set once"),
        (["--reference", NAME, "--data", "Set5"], f"error: --data Set5: not in the reference {NAME}"),
        (["nothing"], "error: nothing: expected weights"),
        (["--device", "abacus"], "error: unknown device 'abacus'"),
        (["--psnr", "much"], "--psnr"),
    ],
)
def test_an_error_is_no_verdict(spinbench: Callable[..., tuple[int, str]], arguments: list[str], message: str) -> None:
    code, output = spinbench(*arguments)
    assert code == 2
    assert message in output
    assert "Traceback" not in output


def test_even_a_bug_is_no_verdict(spinbench: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "measured", lambda *arguments: 1 / 0)
    code, output = spinbench()
    assert code == 2
    assert "ZeroDivisionError" in output


def test_a_reference_is_written_only_when_told(
    reference: Reference,
    run: Path,
    spinbench: Callable[..., tuple[int, str]],
    measures: Callable[[Measured], None],
    tmp_path: Path,
) -> None:
    there = ["--results", tmp_path]
    assert spinbench(run, *there)[0] == 2  # there is none yet
    assert references.reference_names(tmp_path) == []
    assert spinbench(run, *there, "--update", "--reason", "first")[0] == 0
    before = (tmp_path / "reference" / NAME / "reference.json").read_bytes()
    measures(slower(reference.measured, 1.5))
    assert spinbench(run, *there)[0] == 1
    assert (tmp_path / "reference" / NAME / "reference.json").read_bytes() == before
    assert spinbench(run, *there, "--update", "--reason", "a better layer")[0] == 0
    assert spinbench(run, *there)[0] == 0
    assert [record["reason"] for record in references.load_reference(NAME, tmp_path).history] == [
        "first",
        "a better layer",
    ]


def test_tolerances_can_be_given(
    reference: Reference, spinbench: Callable[..., tuple[int, str]], measures: Callable[[Measured], None]
) -> None:
    quality = reference.measured.quality
    measures(replace(reference.measured, quality=quality.assign(psnr=quality["psnr"] - 0.01)))
    assert spinbench("--reference", NAME)[0] == 1
    assert spinbench("--reference", NAME, "--psnr", 0.02)[0] == 0


def test_the_same_weights_that_give_other_images_have_changed(
    reference: Reference, spinbench: Callable[..., tuple[int, str]], measures: Callable[[Measured], None]
) -> None:
    quality = reference.measured.quality
    measures(replace(reference.measured, quality=quality.assign(psnr=quality["psnr"] + 0.0139)))
    code, output = spinbench("--reference", NAME)
    assert code == 1
    assert "regression check: changed" in output
    assert "worse" not in output


def test_a_run_that_was_trained_elsewhere_is_retrained_and_passes(
    reference: Reference, spinbench: Callable[..., tuple[int, str]], measures: Callable[[Measured], None]
) -> None:
    """The main job's run of another machine has other bytes; its training is the same."""
    quality, network = reference.measured.quality, replace(reference.measured.network, weights="1" * 64)
    for change, expected in ((0.0139, "equal"), (-0.3, "inconclusive")):
        changed = quality.assign(psnr=quality["psnr"] + change)
        measures(replace(reference.measured, quality=changed, network=network))
        code, output = spinbench("--reference", NAME)
        assert code == 0, output
        assert f"regression check: {expected}" in output
        assert "retrained" in output
    measures(replace(reference.measured, quality=changed, network=network))
    assert "regression check: equal" in spinbench("--reference", NAME, "--psnr", 5)[1]
