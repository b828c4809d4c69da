"""The sessions of spin-bench; all share one environment. Arguments after `--` are passed to the command."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import sys
from pathlib import Path
from typing import TextIO

import nox

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HERE = Path(__file__).resolve().parent
PROJECT = HERE / "pyproject.toml"
ENVIRONMENT = HERE / ".nox" / "environment"
STAMP = ENVIRONMENT / "fingerprint"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
CAPABILITIES = ("default", "avx2", "avx512")  # instruction sets with kernels in PyTorch; each includes the previous one

_lock: list[TextIO] = []  # the open file, from the first session on

nox.options.sessions = ["tests"]
nox.options.default_venv_backend = "none"


def prepare(session: nox.Session, *more: str) -> None:
    """Create the environment of this checkout; recreate it if the checkout was copied or moved, or if Python,
    pyproject.toml or constraints.txt has changed. `more` are extras that not every session needs.

    From then on this process holds the environment: another one that has to change it waits.
    """
    require_python(session)
    made_from = "\n".join([sys.version, sys.base_prefix, PROJECT.read_text(), (HERE / "constraints.txt").read_text()])
    belongs = [str(HERE), hashlib.sha256(made_from.encode()).hexdigest()]
    hold(session, alone=False)
    while (found := made())[:2] != belongs or not {*more} <= {*found}:
        hold(session, alone=True)
        try:
            if (found := made())[:2] != belongs:  # another process may have made it meanwhile
                create(session, found)
                found = belongs
            for extra in more:
                install(session, extra)
            STAMP.write_text("\n".join(dict.fromkeys([*found, *more])))
        finally:
            hold(session, alone=False)


def made() -> list[str]:
    """Checkout, fingerprint and additional extras of the environment; nothing if it is missing or not finished."""
    python = BIN / ("python.exe" if os.name == "nt" else "python")
    return STAMP.read_text().splitlines() if STAMP.is_file() and python.exists() else []


def create(session: nox.Session, found: list[str]) -> None:
    place = ENVIRONMENT.resolve()
    if found and found[0] != str(HERE) and HERE not in place.parents:
        session.error(f"{ENVIRONMENT} leads to {place}, which belongs to another checkout; remove the link")
    session.run(sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT))
    install(session, "dev,docs,onnx,notebook,tensorboard,slurm")


def require_python(session: nox.Session) -> None:
    needed = re.findall(r'^requires-python = ">=(\d+)\.(\d+)"', PROJECT.read_text(), re.MULTILINE)[0]
    if sys.version_info < tuple(map(int, needed)):
        wanted, here = ".".join(needed), platform.python_version()
        session.error(f"needs Python {wanted} or newer, and nox runs under {here}: use python{wanted} -m nox")


def hold(session: nox.Session, alone: bool) -> None:
    """Hold the environment as one of several processes, which use it, or alone, to change it; the lock ends with us."""
    if fcntl is None:
        return
    if not _lock:
        try:
            ENVIRONMENT.parent.mkdir(exist_ok=True)
            _lock.append((HERE / ".nox" / "lock").open("w"))
        except OSError as error:  # a checkout that only others may change
            session.warn(f"{error}: start one nox at a time")
            return
    how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
    try:
        fcntl.flock(_lock[0], how | fcntl.LOCK_NB)
    except BlockingIOError:
        session.log(f"waits for another nox, which {'uses' if alone else 'creates'} {ENVIRONMENT}")
        fcntl.flock(_lock[0], how)
    except OSError:  # a file system without locks
        session.warn(f"{ENVIRONMENT.parent} has no locks: start one nox at a time")


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
    """Train and evaluate the variants of Table 2, measure their cost, and render the report.

    Before, the SPIN that comes with the suite is evaluated and shown beside bicubic interpolation, which it surpasses.
    """
    prepare(session)
    if not session.posargs:
        run(session, "spinbench", "run", "pretrained")
        eye = ("--image", "embedded-test/chelsea", "--box", "144,84,64,64")  # as on README's picture
        run(session, "spinbench", "picture", "compare", "pretrained", "--networks", "bicubic,pretrained", *eye)
    run(session, "spinbench", "run", "table2")


@nox.session(name="reproduce-table1")
def reproduce_table1(session: nox.Session) -> None:
    """Evaluate the networks of Table 1 with published weights, measure their cost, and render the report.

    The small test sets come first, so that a report exists within the hour; Urban100 and Manga109 are added later.
    """
    prepare(session)
    table1 = ("spinbench", "run", "table1", "--protocol", "published")
    if not session.posargs:
        run(session, *table1, "--data", "Set5,Set14,BSDS100")
    run(session, *table1)


@nox.session(name="reproduce-fig7")
def reproduce_fig7(session: nox.Session) -> None:
    """Train and evaluate the depths of Fig. 7, measure their cost, and render the report."""
    prepare(session)
    run(session, "spinbench", "run", "fig7")


@nox.session
def speed(session: nox.Session) -> None:
    """Measure the time of all networks and its growth with the image; then check SPIN's targets in any case."""
    prepare(session)
    session.notify("speed-targets", posargs=[])
    run(session, "spinbench", "speed")


@nox.session(name="speed-targets")
def speed_targets(session: nox.Session) -> None:
    """Compare the time of SPIN with that of the dense reference; fails if a target is missed."""
    prepare(session)
    run(session, "python", "-m", "tests.speed")


@nox.session(name="error-rates")
def error_rates(session: nox.Session) -> None:
    """Simulate how often verdicts and intervals are wrong, and what they find; fails beyond their bounds."""
    prepare(session)
    run(session, "python", "-m", "tests.reports.error_rates")


@nox.session
def orchestration(session: nox.Session) -> None:
    """Plan, show and report up to 10,000 finished runs: seconds and memory; fails beyond its bounds (Linux)."""
    prepare(session)
    run(session, "python", "-m", "tests.orchestration")


@nox.session
def gpu(session: nox.Session) -> None:
    """Measure and check everything on a GPU within ten minutes; `-- --rehearse` tries everything out on the CPU."""
    prepare(session)
    run(session, "python", "-m", "tests.gpu")


@nox.session
def report(session: nox.Session) -> None:
    """Render the report from stored results."""
    prepare(session)
    run(session, "spinbench", "report")


@nox.session
def pictures(session: nox.Session) -> None:
    """Draw README's pictures from committed results, and write what README and docs/ list of networks and sets."""
    prepare(session)
    run(session, "python", "docs/pictures.py")
    run(session, "python", "docs/facts.py")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite on all cores, but for what belongs to `slow`."""
    prepare(session)
    test(session, "-m", "not slow", "--durations", "15")


@nox.session
def slow(session: nox.Session) -> None:
    """Run the tests that take longest: processes killed in the middle, other instruction sets, an installed wheel."""
    prepare(session)
    test(session, "-m", "slow", "--durations", "5")


@nox.session
@nox.parametrize("variant", [*CAPABILITIES, "without kernels"])
def portability(session: nox.Session, variant: str) -> None:
    """Test the networks with the instruction sets that this CPU has, and without the C++ kernels."""
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
            session.skip(f"this CPU does not support {variant}; PyTorch uses {best!r}")
        session.env["ATEN_CPU_CAPABILITY"] = variant
    test(session, "tests/models", "tests/oracles")


@nox.session
def faults(session: nox.Session) -> None:
    """Kill, starve and damage runs for up to ten minutes; fails if data are lost, wrong or unreported (Linux)."""
    prepare(session)
    run(session, "python", "-m", "tests.faults")


@nox.session
def hostile(session: nox.Session) -> None:
    """Give malicious files, names and servers to the commands; fails if one runs, escapes or hangs (Linux)."""
    prepare(session)
    run(session, "python", "-m", "tests.hostile")


@nox.session
def onnx(session: nox.Session) -> None:
    """Export every network to ONNX and compare it with PyTorch; takes about ten minutes."""
    prepare(session)
    run(session, "python", "-m", "pytest", "tests/onnx")


@nox.session
def page(session: nox.Session) -> None:
    """Test the report in Chromium and compile its LaTeX; reports and screenshots are kept in .nox/page."""
    prepare(session, "page")
    run(session, "python", "-m", "pytest", "tests/page", "--basetemp", str(HERE / ".nox" / "page"))


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into site/; fails for a link that leads nowhere, and for a column without a meaning."""
    prepare(session)
    run(session, "python", "-m", "mkdocs", "build", "--strict", "--quiet")


@nox.session(name="regression-check")
def regression_check(session: nox.Session) -> None:
    """Compare the networks in results/reference, or the given ones, with their stored references."""
    prepare(session)
    run(session, "spinbench", "check")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    prepare(session)
    for command in (
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        (
            "clang-format",
            "--dry-run",
            "--Werror",
            *map(str, sorted((HERE / "models" / "spin" / "cpu").glob("*.[ch]*"))),
        ),
        ("mypy",),
        ("lint-imports",),
    ):
        session.run(str(BIN / command[0]), *command[1:], external=True)


@nox.session
def slurm(session: nox.Session) -> None:
    """Run a small Table 2 through a real Slurm on this machine, and interrupt it; needs root and Debian's slurm-wlm."""
    prepare(session)
    run(session, "python", "-m", "pytest", "tests/slurm")
