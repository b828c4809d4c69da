"""A reference that was made on one CPU passes on another, and without the C++ kernels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# The costs are left out: beside other tests, latency means nothing.
CHECK = """
from benchmarks.regression import checks
checks.comparable_costs = lambda *arguments: None
from spinbench.check import app
app(["--reference", "quick/full-x4-s0", "--threads", "1"])
"""


@pytest.mark.parametrize(
    "environment",
    [
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"ATEN_CPU_CAPABILITY": "default", "SPINBENCH_NATIVE": "0", "ONEDNN_MAX_CPU_ISA": "SSE41"},
    ],
    ids=["avx2", "sse4-without-kernels"],
)
@pytest.mark.slow
def test_the_committed_reference_passes_on_other_cpus(environment: dict[str, str]) -> None:
    """PyTorch falls back to what the CPU has; the reference was made with AVX-512."""
    found = subprocess.run(
        [sys.executable, "-c", CHECK], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr
    assert "regression check: equal" in found.stdout
