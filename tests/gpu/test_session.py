"""The session of GPU checks: what is told, kept and returned when a check passes, fails, hangs or does not fit."""

from __future__ import annotations

import json
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.gpu.__main__ import CHECKS, Check, main

PLANTED = {
    "passes": 'return {"summary": "as it should be"}',
    "raises": """
        session.keep({"known": 1})
        raise RuntimeError("the device is lost")
    """,
    "wrong": 'return {"wrong": ["two is three", "three is four"]}',
    "dies": "os.kill(os.getpid(), signal.SIGKILL)",
    "hangs": """
        session.keep({"child": subprocess.Popen(["sleep", "1000"], process_group=0).pid})
        time.sleep(1000)
    """,
}


@pytest.fixture(autouse=True)
def planted(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of checks in which something goes wrong."""
    folder = tmp_path_factory.mktemp("package")
    (folder / "planted").mkdir()
    for name, body in PLANTED.items():
        code = textwrap.indent(textwrap.dedent(body), "    ")
        source = f"import os, signal, subprocess, time\n\n\ndef check(session):\n{code}\n"
        (folder / "planted" / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def check(name: str, seconds: float = 1) -> Check:
    return Check(name, seconds, package="planted")


def result(folder: Path, name: str) -> dict[str, Any]:
    found = json.loads((folder / f"{name}.json").read_text())
    assert isinstance(found, dict)
    return found


def test_a_check_is_rehearsed_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rehearse", "--only", "machine", "--out", str(tmp_path)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["machine.json"]
    found = result(tmp_path, "machine")
    assert (found["check"], found["rehearsal"], found["failed"]) == ("machine", True, None)
    assert found["torch"] == torch.__version__ and found["copy_bytes_per_s"] > 0
    assert set(found["matmul_flops"]) == {"float32", "tf32", "bfloat16"}
    told = capsys.readouterr().out
    assert "machine: passed" in told and "TFLOP/s" in told and str(tmp_path) in told


def test_without_a_gpu_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["--out", str(tmp_path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_unknown_check_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--rehearse", "--only", "machin"])
    assert end.value.code == 2
    assert "did you mean 'machine'?" in capsys.readouterr().err


@pytest.mark.slow
def test_failures_are_told_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [check(name) for name in ("raises", "wrong", "dies", "passes")]
    assert main(["--rehearse", "--out", str(tmp_path)], checks) == 1
    told = capsys.readouterr().out
    assert "raises: failed" in told and "RuntimeError: the device is lost" in told
    assert "wrong: failed" in told and "two is three; three is four" in told
    assert "dies: failed" in told and "exit status -9" in told
    assert "passes: passed" in told and "as it should be" in told
    assert result(tmp_path, "raises")["known"] == 1  # what was kept before
    assert "RuntimeError: the device is lost" in result(tmp_path, "raises")["failed"]
    assert result(tmp_path, "dies")["failed"].startswith("exit status -9")
    assert result(tmp_path, "passes")["failed"] is None


def test_a_check_that_hangs_is_stopped_with_all_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = subprocess.Popen.wait

    def no_patience(process: subprocess.Popen[str], timeout: float | None = None) -> int:
        if timeout is None:
            return wait(process)
        while not (tmp_path / "hangs.json").exists() or "child" not in result(tmp_path, "hangs"):
            time.sleep(0.05)
        raise subprocess.TimeoutExpired("hangs", timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", no_patience)
    assert main(["--rehearse", "--out", str(tmp_path)], [check("hangs")]) == 1
    found = result(tmp_path, "hangs")
    assert found["failed"] == "stopped after 300 s"
    assert not psutil.pid_exists(found["child"]) or psutil.Process(found["child"]).status() == psutil.STATUS_ZOMBIE


def test_what_exceeds_the_budget_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [check("passes", 1), check("raises", 10_000)]
    assert main(["--rehearse", "--out", str(tmp_path), "--budget", "900"], checks) == 0
    told = capsys.readouterr().out
    assert "passes: passed" in told
    assert "raises: not run" in told and "s of the budget are left, it may take 10000" in told
    assert not (tmp_path / "raises.json").exists()


def test_results_of_an_earlier_session_do_not_remain(tmp_path: Path) -> None:
    (tmp_path / "dies.json").write_text('{"summary": "of before"}')
    assert main(["--rehearse", "--out", str(tmp_path)], [check("dies")]) == 1
    assert "summary" not in result(tmp_path, "dies")


def test_all_checks_fit_into_the_budget_of_ten_minutes() -> None:
    assert sum(one.seconds for one in CHECKS) <= 600
    assert len({one.name for one in CHECKS}) == len(CHECKS)
    folder = Path(__file__).parent / "checks"
    assert {one.name for one in CHECKS} == {path.stem for path in folder.glob("*.py")}
