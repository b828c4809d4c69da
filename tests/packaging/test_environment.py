"""The environment of nox belongs to its checkout, and to one process at a time that changes it.

The environments are made here with `venv` alone: what pip would install is only noted in them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
# A session of nox as far as the environment needs one; `nox` is installed beside the environment, not in it
SCRIPT = """
import importlib.util, sys, time, types, venv
from pathlib import Path

nox = types.ModuleType("nox")
nox.options = types.SimpleNamespace()
nox.session = lambda function=None, **options: function or (lambda each: each)
nox.parametrize = lambda *arguments: lambda each: each
nox.Session = object
sys.modules["nox"] = nox
checkout = Path(sys.argv[1])
spec = importlib.util.spec_from_file_location("noxfile", checkout / "noxfile.py")
noxfile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(noxfile)

class Session:
    def run(self, *command):
        if "venv" in command:
            print("creates", flush=True)
            venv.create(command[-1], clear=True, symlinks=True)
        else:
            print("installs", command[-1], flush=True)
            (Path(command[0]).parents[1] / "owner").write_text(str(checkout))

    def log(self, text):
        print(text, flush=True)

    def error(self, text):
        sys.exit(text)

if len(sys.argv) > 3:
    sys.version_info = (3, 10, 12)
noxfile.prepare(Session(), *(["page"] if sys.argv[2] == "page" else []))
print("ready", flush=True)
if sys.argv[2] == "hold":
    sys.stdin.read()
"""
ALL = "installs .[dev,docs,onnx,notebook,tensorboard,slurm]"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("noxfile.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(CHECKOUT / name, folder)
    return folder


def start(checkout: Path, *arguments: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", SCRIPT, str(checkout), *arguments]
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def prepare(checkout: Path, *arguments: str) -> list[str]:
    out, err = start(checkout, *(arguments or ("use",))).communicate()
    return (out + err).splitlines()


def test_it_is_made_once_and_again_when_what_it_is_made_from_changes(checkout: Path) -> None:
    assert prepare(checkout) == ["creates", ALL, "ready"]
    assert prepare(checkout) == ["ready"]
    assert prepare(checkout, "page") == ["installs .[page]", "ready"]
    assert prepare(checkout, "page") == prepare(checkout) == ["ready"]
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("\n")
    assert prepare(checkout, "page") == ["creates", ALL, "installs .[page]", "ready"]
    (checkout / ".nox" / "environment" / "bin" / "python").unlink()  # its Python was removed
    assert prepare(checkout)[0] == "creates"


def test_a_copy_and_a_moved_checkout_get_their_own(checkout: Path) -> None:
    prepare(checkout)
    copy = shutil.copytree(checkout, checkout.with_name("copy"), symlinks=True)
    assert prepare(copy) == ["creates", ALL, "ready"]
    assert (checkout / ".nox" / "environment" / "owner").read_text() == str(checkout)
    assert (copy / ".nox" / "environment" / "owner").read_text() == str(copy)
    moved = copy.rename(checkout.with_name("moved"))
    assert prepare(moved) == ["creates", ALL, "ready"]


@pytest.mark.skipif(os.name == "nt", reason="links")
def test_a_link_to_the_environment_of_another_checkout_is_refused(checkout: Path) -> None:
    prepare(checkout)
    other = checkout.with_name("other")
    other.mkdir()
    for name in ("noxfile.py", "pyproject.toml", "constraints.txt"):
        shutil.copy(checkout / name, other)
    (other / ".nox").symlink_to(checkout / ".nox")
    (told,) = prepare(other)
    assert told.endswith(f"{checkout}/.nox/environment, which belongs to another checkout; remove the link")
    assert prepare(checkout) == ["ready"]


@pytest.mark.skipif(os.name == "nt", reason="no such locks")
def test_it_is_not_changed_as_long_as_another_process_uses_it(checkout: Path) -> None:
    prepare(checkout)
    user = start(checkout, "hold")
    assert user.stdout and user.stdout.readline() == "ready\n"
    assert prepare(checkout) == ["ready"]  # one more that uses it
    with (checkout / "constraints.txt").open("a") as file:
        file.write("\n")
    changing = start(checkout, "use")
    assert changing.stdout
    assert "waits for another nox, which uses" in changing.stdout.readline()
    assert (checkout / ".nox" / "environment" / "owner").is_file()
    user.communicate()
    assert changing.communicate()[0].splitlines() == ["creates", ALL, "ready"]


def test_an_older_python_is_one_line(checkout: Path) -> None:
    (told,) = prepare(checkout, "use", "3.10")
    assert told.startswith("needs Python 3.11 or newer, and nox runs under ") and told.endswith(
        ": use python3.11 -m nox"
    )
    assert not (checkout / ".nox").exists()
