"""The product itself: `spinbench run`, stopped by a signal in the middle of the training and run again, ends as one
that was not stopped: the same weights, the same quality of every image."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import safetensors.torch
import torch

from results import Run
from tests.gpu.session import Session

PROTOCOL = """
title: gpu
summary: a short training
cost: seconds
expect: nothing
training:
  data: embedded-train
  lr_patch: {patch}
  batch_size: {batch}
  iterations: {iterations}
  learning_rate: 1.0e-3
  schedule: {{kind: one-cycle}}
  checkpoint_every: {every}
evaluation: {{datasets: [embedded-test]}}
costing: {{latency_lr: [24, 32], repeats: 3, memory: false}}
"""
ROWS = 3  # of training.csv, after which the training is stopped
INTERRUPTED = 130  # exit status
SAME = ("weights.safetensors", "quality.csv")


def check(session: Session) -> dict[str, Any]:
    """Seconds of the three commands, steps/s, mean PSNR, and what differs between the two runs."""
    sizes = session.sized(
        {"patch": 48, "batch": 16, "iterations": 60, "every": 25},
        {"patch": 24, "batch": 1, "iterations": 24, "every": 10},
    )
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        protocol = folder / "gpu.yaml"
        protocol.write_text(PROTOCOL.format(**sizes))
        whole, parts = (
            Run("gpu", session.sized("full", "patch"), 4, 0, root=folder / name) for name in ("whole", "parts")
        )
        seconds: dict[str, float] = {}
        found: dict[str, Any] = {"sizes": sizes, "command_s": seconds}

        begin = time.monotonic()
        status, told = _finished(_start(session, protocol, whole))
        seconds["whole"] = round(time.monotonic() - begin, 1)
        if status:
            return found | _wrong(f"exit status {status}, expected 0", told)
        found |= _rate(whole)
        session.keep(found)

        begin = time.monotonic()
        process = _start(session, protocol, parts)
        while process.poll() is None and _rows(parts) < ROWS:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        status, told = _finished(process)
        seconds["stopped"] = round(time.monotonic() - begin, 1)
        if status != INTERRUPTED or "stopped after iteration" not in told:
            return found | _wrong(f"SIGTERM: exit status {status}, expected {INTERRUPTED}", told)
        found["stopped"] = told.splitlines()[-1]

        begin = time.monotonic()
        status, told = _finished(_start(session, protocol, parts))
        seconds["resumed"] = round(time.monotonic() - begin, 1)
        if status or "resumes after iteration" not in told:
            return found | _wrong(f"run again: exit status {status}, expected 0 and a resumption", told)
        quality = pd.read_csv(parts.path("quality.csv"))
        found["psnr"] = round(float(quality["psnr"].mean()), 3)
        wrong = [f"{file}: {_difference(whole, parts)}" for file in SAME if not _same(whole, parts, file)]
    return found | {
        "wrong": wrong,
        "summary": f"{found['stopped']}; {found['steps_per_s']:.1f} steps/s, {found['psnr']} dB",
    }


def _start(session: Session, protocol: Path, run: Run) -> subprocess.Popen[str]:
    command = [
        sys.executable, "-m", "spinbench", "run", "table2", "--only", run.variant, "--scale", str(run.scale),
        "--protocol", str(protocol), "--results", str(run.root), "--device", session.device.type,
    ]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status, and the last lines that were printed."""
    told, _ = process.communicate()
    return process.returncode, "\n".join(told.strip().splitlines()[-12:])


def _wrong(what: str, told: str) -> dict[str, Any]:
    return {"wrong": [f"{what}: {told.splitlines()[-1] if told else 'no output'}"], "told": told.splitlines()}


def _rows(run: Run) -> int:
    path = run.path("training.csv")
    return path.read_text().count("\n") - 1 if path.is_file() else 0


def _rate(run: Run) -> dict[str, float]:
    """Steps/s after the first tenth, which warms up."""
    rows = pd.read_csv(run.path("training.csv"))
    first, last = rows.iloc[len(rows) // 10], rows.iloc[-1]
    return {"steps_per_s": round((last.iteration - first.iteration) / (last.seconds - first.seconds), 2)}


def _same(one: Run, other: Run, file: str) -> bool:
    return one.path(file).read_bytes() == other.path(file).read_bytes()


def _difference(one: Run, other: Run) -> str:
    """Of the weights, from which that of the quality follows."""
    weights = [safetensors.torch.load_file(run.path(SAME[0])) for run in (one, other)]
    apart = [(weights[0][name] - weights[1][name]).abs().flatten() for name in weights[0]]
    return f"{int((torch.cat(apart) != 0).sum())} weights differ, by at most {float(torch.cat(apart).max()):.2g}"
