"""What `python -m tests.gpu` needs on a machine without network: `python -m tests.gpu.carry FOLDER`.

Wheels of the packages that the machine lacks, in the versions of constraints.txt, and the part of the mirror that the
checks read (from SPINBENCH_MIRROR or the network). The checkout itself travels as it is.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import models
from benchmarks.data.images import DataError
from benchmarks.data.registry import entries
from benchmarks.data.sources import Published
from foundation import SpinbenchError, one_line
from tests.gpu.checks import amp

CHECKOUT = Path(__file__).parents[2]
MOST = 64 * 2**20  # bytes of everything in the folder
PYTHON = "3.12"
# pip takes a platform literally: a wheel for an older C library has to be asked for by that one's name
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014", "manylinux1")
TARGET = {
    "python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "sys_platform": "linux",
    "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix", "extra": "",
}  # fmt: skip


class CarryError(SpinbenchError):
    """What travels could not be prepared; one line with the reason."""


def main(arguments: list[str]) -> None:
    """Raises CarryError."""
    parser = argparse.ArgumentParser("tests.gpu.carry", description="Prepare what a GPU machine without network needs.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--there", type=Path, help="file with the packages of that machine, such as of `pip freeze`")
    given = parser.parse_args(arguments)
    folder: Path = given.folder
    if folder.exists():
        raise CarryError(f"{folder}: exists, expected a new folder")
    missing = lacking(packages_in(given.there.read_text()) if given.there else {})
    for requirement in missing:
        fetch_wheel(requirement, folder / "wheels")
    files, absent = fetch_files(folder / "mirror")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{len(missing)} wheels: {', '.join(missing)}")
    print(f"{files} files of the mirror" + (f"; not available: {', '.join(absent)}" if absent else ""))
    if size > MOST:
        raise CarryError(
            f"{folder}: {size / 2**20:.0f} MiB, expected at most {MOST / 2**20:.0f}; --there leaves out more"
        )
    print(f"{size / 2**20:.1f} MiB; there, in the root of the checkout:")
    print(command(folder.resolve()))


def command(folder: Path) -> str:
    """To be run there, where the folder lies as it does here: inside the checkout, or at the same path."""
    inside = folder.is_relative_to(CHECKOUT)
    at = f'"$PWD"/{shlex.quote(str(folder.relative_to(CHECKOUT)))}' if inside else shlex.quote(str(folder))
    return (
        f"python3 -m pip install --quiet --no-index --no-deps --no-compile --target {at}/site {at}/wheels/*.whl && "
        f"PYTHONPATH={at}/site SPINBENCH_MIRROR={at}/mirror python3 -m tests.gpu --out gpu"
    )


def packages_in(text: str) -> dict[str, str | None]:
    """Names of packages, with their versions if known, from `name` or `name==version` between blanks or commas."""
    found: dict[str, str | None] = {}
    for word in re.split(r"[\s,]+", text):
        name, _, version = word.partition("==")
        if name:
            found[canonicalize_name(name)] = version or None
    return found


def lacking(there: dict[str, str | None]) -> list[str]:
    """The packages that the project needs, directly or not, and that are not there or too old, as name==version.

    Raises CarryError for one that constraints.txt does not pin, or whose own needs are unknown since it is not
    installed here.
    """
    pinned = packages_in((CHECKOUT / "constraints.txt").read_text().split("\n", 1)[1])
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    todo = [Requirement(line) for line in project["dependencies"]]
    needed: dict[str, SpecifierSet] = {}
    while todo:
        requirement = todo.pop()
        name: str = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate(TARGET):
            continue
        known = name in needed
        needed[name] = needed.get(name, SpecifierSet()) & requirement.specifier
        if known or (name in there and _serves(there[name], requirement.specifier)):
            continue
        try:
            todo += map(Requirement, importlib.metadata.requires(name) or [])
        except importlib.metadata.PackageNotFoundError:
            raise CarryError(f"{name}: not installed here, so that its own needs are unknown") from None
    found = []
    for name in sorted(needed):
        if name in there and _serves(there[name], needed[name]):
            continue
        if name not in pinned:
            raise CarryError(f"{name}: not in constraints.txt, expected a version")
        found.append(f"{name}=={pinned[name]}")
    return found


def _serves(version: str | None, wanted: SpecifierSet) -> bool:
    return version is None or wanted.contains(version, prereleases=True)


def fetch_wheel(requirement: str, folder: Path) -> None:
    """Download a wheel for the target, or build one where only sources are published, which must be pure Python.

    Raises CarryError.
    """
    for_target = ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp"]
    for platform in PLATFORMS:
        for_target += ["--platform", f"{platform}_x86_64"]
    try:
        pip("download", "--no-deps", *for_target, "--dest", str(folder), requirement)
    except CarryError:
        pip("wheel", "--no-deps", "--wheel-dir", str(folder), requirement)
        name = requirement.partition("==")[0].replace("-", "_")
        if not [path for path in folder.glob("*-none-any.whl") if path.name.lower().startswith(f"{name}-")]:
            raise CarryError(f"{requirement}: there is no wheel for Python {PYTHON}, nor is it pure Python") from None


def pip(*arguments: str) -> None:
    """Raises CarryError with pip's last line."""
    done = subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise CarryError(f"pip {' '.join(arguments)}: {done.stderr.strip().splitlines()[-1]}")


def fetch_files(folder: Path) -> tuple[int, list[str]]:
    """Copy what the checks read; returns the number of files, and those that are not available."""
    data = [entry for name in models.names() for entry in entries(name) if entry.kind == "data"]
    count, absent = 0, []
    for source in [*amp.files(), *(Published(entry.path, entry.hash) for entry in data)]:
        try:
            file = source.locate()
        except DataError:
            absent.append(source.path)
            continue
        (folder / source.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / source.path)
        count += 1
    return count, absent


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (SpinbenchError, OSError) as error:
        sys.exit(f"error: {one_line(error)}")
