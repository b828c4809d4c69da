"""The wheel contains every file of the packages and no results of the user, and works without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("ablations", "benchmarks", "foundation", "models", "reports", "results", "spinbench")


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all that a wheel is built from, without the files that git ignores."""
    folder = tmp_path_factory.mktemp("source")
    ignored = {line.strip("/") for line in (CHECKOUT / ".gitignore").read_text().splitlines()}

    def left_out(place: str, names: list[str]) -> list[str]:
        below = Path(place).relative_to(CHECKOUT)
        return [name for name in names if name in ignored or (below / name).as_posix() in ignored]

    for name in PACKAGES:
        shutil.copytree(CHECKOUT / name, folder / name, ignore=left_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, folder)
    return folder


@pytest.fixture(scope="module")
def files(source: Path) -> set[str]:
    found = (path for name in PACKAGES for path in (source / name).rglob("*"))
    return {path.relative_to(source).as_posix() for path in found if path.is_file()}


@pytest.fixture(scope="module")
def wheel(source: Path, files: set[str]) -> Path:
    """Built in a folder that also contains results of the user."""
    for place in ("runs/quick/full-x4-s0/weights.safetensors", "report/quick/index.html", "pictures/a/picture.json"):
        path = source / "results" / place
        path.parent.mkdir(parents=True)
        path.write_text("of the user")
    pip("wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", source / "dist", source)
    (built,) = (source / "dist").iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and the dependencies of this one, but without its editable installation."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    pip("--python", folder, "install", "--quiet", "--no-deps", "--no-index", wheel)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder


def run(environment: Path, command: str, *arguments: str, place: Path, **variables: str) -> str:
    """Output of a command of the environment, started outside of the checkout."""
    usual = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SPINBENCH_RESULTS")}
    done = subprocess.run(
        [environment / "bin" / command, *arguments], cwd=place, env=usual | variables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_holds_the_packages_files_and_no_others(wheel: Path, files: set[str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == files
    assert {f"{name}/py.typed" for name in PACKAGES} < found


@pytest.mark.skipif(os.name == "nt", reason="an environment is laid out otherwise there")
@pytest.mark.slow
def test_it_works_where_there_is_no_checkout(environment: Path, tmp_path: Path) -> None:
    origins = "import importlib.util, sys\nfor name in sys.argv[1:]: print(importlib.util.find_spec(name).origin)"
    for origin in run(environment, "python", "-c", origins, *PACKAGES, place=tmp_path).split():
        assert Path(origin).is_relative_to(environment)
    before = sorted(path for path in environment.rglob("*") if "__pycache__" not in path.parts)
    listed = run(environment, "spinbench", "list", place=tmp_path)
    assert all(word in listed for word in ("espcn", "table2", "cpu-short", "Set14"))
    assert "parameters" in run(
        environment, "spinbench", "cost", "espcn", "--no-memory", "--repeats", "1", place=tmp_path
    )
    run(environment, "spinbench", "report", place=tmp_path)
    assert (tmp_path / "results" / "report" / "measured" / "cpu-short" / "index.html").stat().st_size > 10_000
    assert before == sorted(path for path in environment.rglob("*") if "__pycache__" not in path.parts)


@pytest.mark.skipif(os.name == "nt", reason="an environment is laid out otherwise there")
def test_results_go_where_they_are_wanted(environment: Path, tmp_path: Path) -> None:
    ask = (
        "import results; from results.references import reference_names;"
        "print(results.ROOT, *reference_names(), len(results.published('table1.csv')))"
    )
    of_suite = ["quick/bicubic-x4-s0", *(f"quick/full-x4-s{seed}" for seed in range(3))]
    root, *references, rows = run(environment, "python", "-c", ask, place=tmp_path).split()
    assert (root, references) == ("results", of_suite) and int(rows) > 100
    own = str(tmp_path / "own")
    root, *references, _ = run(environment, "python", "-c", ask, place=tmp_path, SPINBENCH_RESULTS=own).split()
    assert (root, references) == (own, of_suite)
