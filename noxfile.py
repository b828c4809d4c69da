"""Every job of spin-bench is a session; all share one environment. Arguments after `--` reach the command."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import nox

HERE = Path(__file__).parent
ENVIRONMENT = HERE / ".nox" / "environment"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
CAPABILITIES = ("default", "avx2", "avx512")  # for which PyTorch has kernels, each a part of the next

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "none"


def prepare(session: nox.Session) -> None:
    """Create the shared environment, or bring it up to date if what it is made from has changed."""
    made_from = [sys.version, *((HERE / name).read_text() for name in ("pyproject.toml", "constraints.txt"))]
    fingerprint = hashlib.sha256("\n".join(made_from).encode()).hexdigest()
    stamp = ENVIRONMENT / "fingerprint"
    if stamp.is_file() and stamp.read_text() == fingerprint:
        return
    session.run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
    install(session, "dev")
    stamp.write_text(fingerprint)


def install(session: nox.Session, extra: str) -> None:
    pip = (str(BIN / "python"), "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt")
    session.run(*pip, "--editable", f".[{extra}]")


def run(session: nox.Session, command: str, *arguments: str) -> None:
    session.run(str(BIN / command), *arguments, *session.posargs, external=True)


def test(session: nox.Session, *arguments: str) -> None:
    session.env.setdefault("OMP_NUM_THREADS", "1")
    run(session, "python", "-m", "pytest", "--numprocesses", "auto", "--dist", "worksteal", *arguments)


@nox.session(name="reproduce-table2")
def reproduce_table2(session: nox.Session) -> None:
    """Train, evaluate and cost the ablation of Table 2, and render the report."""
    prepare(session)
    run(session, "spinbench", "run", "table2")


@nox.session(name="reproduce-table1")
def reproduce_table1(session: nox.Session) -> None:
    """Evaluate and cost the networks of Table 1 with published weights, and render the report.

    The small test sets come first, so that there is a report within the hour; Urban100 and Manga109 are added to it.
    """
    prepare(session)
    table1 = ("spinbench", "run", "table1", "--protocol", "published")
    if not session.posargs:
        run(session, *table1, "--data", "Set5,Set14,BSDS100")
    run(session, *table1)


@nox.session(name="reproduce-fig7")
def reproduce_fig7(session: nox.Session) -> None:
    """The same for the depths of Fig. 7."""
    prepare(session)
    run(session, "spinbench", "run", "fig7")


@nox.session
def speed(session: nox.Session) -> None:
    """Time all networks at a common size and how their time grows; then SPIN's targets, even if one has failed."""
    prepare(session)
    session.notify("speed-targets", posargs=[])
    run(session, "spinbench", "speed")


@nox.session(name="speed-targets")
def speed_targets(session: nox.Session) -> None:
    """Time SPIN beside the dense reference: fails where a target is missed."""
    prepare(session)
    run(session, "python", "-m", "tests.speed")


@nox.session
def report(session: nox.Session) -> None:
    """Render the report from stored results."""
    prepare(session)
    run(session, "spinbench", "report")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite, on all cores."""
    prepare(session)
    test(session, "--durations", "15")


@nox.session
@nox.parametrize("variant", [*CAPABILITIES, "without kernels"])
def portability(session: nox.Session, variant: str) -> None:
    """Test the networks as on older CPUs, as far as this one can act them, and without our kernels."""
    prepare(session)
    if variant == "without kernels":
        session.env["SPINBENCH_NATIVE"] = "0"
    else:
        ask = "import torch; print(torch.backends.cpu.get_cpu_capability())"
        found = session.run(
            str(BIN / "python"), "-c", ask, silent=True, external=True, env={"ATEN_CPU_CAPABILITY": None}
        )
        best = str(found).split()[-1].lower()
        if variant not in CAPABILITIES[: CAPABILITIES.index(best) + 1 if best in CAPABILITIES else 1]:
            session.skip(f"this CPU has no {variant}, PyTorch uses {best!r} here")
        session.env["ATEN_CPU_CAPABILITY"] = variant
    test(session, "tests/models", "tests/oracles")


@nox.session
def faults(session: nox.Session) -> None:
    """Kill, starve and damage runs, within ten minutes: fails where something is lost, wrong or not named (Linux)."""
    prepare(session)
    run(session, "python", "-m", "tests.faults")


@nox.session
def page(session: nox.Session) -> None:
    """Use the report in Chromium and compile its LaTeX; reports and screenshots stay in .nox/page to be looked at."""
    prepare(session)
    install(session, "page")
    run(session, "python", "-m", "pytest", "tests/page", "--basetemp", str(HERE / ".nox" / "page"))


@nox.session(name="regression-check")
def regression_check(session: nox.Session) -> None:
    """Compare the networks stored in results/reference, or those that are named, with what they gave before."""
    prepare(session)
    run(session, "spinbench", "check")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    prepare(session)
    for command in (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("clang-format", "--dry-run", "--Werror", *map(str, sorted((HERE / "models" / "native").glob("*.[ch]*")))),
        ("mypy",),
        ("lint-imports",),
    ):
        session.run(str(BIN / command[0]), *command[1:], external=True)
