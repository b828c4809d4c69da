"""Compilers and processors as machines have them: silent, lying, hanging, behind a launcher, with another OpenMP."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import warnings
from pathlib import Path

import pytest
import torch

import models
from models.spin import cpu
from models.spin.cpu import compilers, library, signatures
from models.spin.cpu.compilers import Compiler
from tests.models.one_kernel import use_one_function

pytestmark = pytest.mark.skipif(
    cpu.kernels() is None or not shutil.which("g++"), reason="needs g++, and SPINBENCH_NATIVE not off"
)
GXX = str(shutil.which("g++"))
VERSION = "[ $1 = --version ] && echo mine 1.0 && exit;"
OUTPUT = "while [ $1 != -o ]; do shift; done;"


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder, where nothing is compiled yet; kernels are one function."""
    compilers._asked.cache_clear()
    return use_one_function(tmp_path, monkeypatch)


def only(monkeypatch: pytest.MonkeyPatch, folder: Path, **scripts: str) -> None:
    """Make these the only compilers: scripts of /bin/sh by name."""
    programs = folder / "programs"
    programs.mkdir()
    for name, script in scripts.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.delenv("CXX", raising=False)


def kept(data: Path) -> list[str]:
    return [path.suffix for path in (data / "kernels").iterdir()] if (data / "kernels").exists() else []


def answer() -> int:
    library._asked.clear()
    found = cpu.kernels()
    assert found is not None
    return int(found.library.answer())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (None, "c++: no C++ compiler"),
        (f"{VERSION} echo note >&2; echo 'x.cpp: error: no such flag' >&2; exit 1", "x.cpp: error: no such flag"),
        (f"{VERSION} exit 0", "written nothing"),
        ("exit 0", "written nothing"),
        (f"{VERSION} {OUTPUT} : > $2", "file too short"),
        (f"{VERSION} {OUTPUT} echo x > $2", "file too short"),
        (r"printf '\377\376\n'; exit 0", "written nothing"),
        ("[ $1 = --version ] && sleep 60", "no answer within 0.5 s"),
        (f"{VERSION} sleep 60 & wait", "no answer within 0.5 s"),
        (f"{VERSION} kill -11 $$", "fails with code -11"),
    ],
    ids=["none", "fails", "writes nothing", "silent", "empty", "nonsense", "garbage", "mute", "hangs", "crashes"],
)
def test_without_a_usable_compiler_the_network_runs_all_the_same(
    script: str | None, reason: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model, x = models.build("spin", 2, blocks=1).eval(), torch.rand(1, 3, 24, 30)
    with torch.no_grad(), cpu.off():
        expected = model(x)
    only(monkeypatch, data.parent, **({"c++": f"PATH=/usr/bin:/bin\n{script}"} if script else {}))
    monkeypatch.setattr(compilers, "_ASK_S", 0.5)
    monkeypatch.setattr(compilers, "_COMPILE_S", 0.5)
    began = time.monotonic()
    with torch.no_grad(), pytest.warns(UserWarning, match=f"without its kernels.*{re.escape(reason)}") as said:
        assert torch.equal(model(x), expected)
    assert len(said) == 1 and "\n" not in str(said[0].message)
    assert cpu.used() == "none" and kept(data) == []
    assert time.monotonic() - began < 10, "waited for what the compiler had started"


def test_a_library_that_lacks_functions_is_not_kept(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "PARAMETERS", {"attend": ()})
    with pytest.warns(UserWarning, match="without its kernels.*undefined symbol: attend"):
        assert cpu.kernels() is None
    assert kept(data) == []


def test_a_compiler_that_does_not_say_its_version_serves_all_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, data.parent, **{"c++": f'[ $1 = --version ] && exit; PATH=/usr/bin:/bin exec {GXX} "$@"'})
    assert answer() == 42
    assert str(cpu.used()).startswith("unknown (") and cpu.used() == cpu.compiler()


def test_gxx_is_tried_where_another_compiler_is_of_no_use(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serves = f'PATH=/usr/bin:/bin exec {GXX} "$@"'
    only(monkeypatch, data.parent, **{"c++": f"{VERSION} echo 'error: no' >&2; exit 1", "g++": serves})
    with pytest.warns(UserWarning, match=r"compiled by .*g\+\+, not by .*c\+\+: error: no$") as said:
        assert answer() == 42
    assert len(said) == 1 and str(cpu.used()).startswith("g++ (")


@pytest.mark.parametrize("same_openmp", [False, True])
def test_clang_serves_where_its_openmp_is_pytorchs_and_is_refused_elsewhere(
    same_openmp: bool, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serves = f'PATH=/usr/bin:/bin exec {GXX} "$@"'
    says = "[ $1 = --version ] && echo Debian clang version 14.0.6 && exit;"
    only(monkeypatch, data.parent, **{"clang++": f"{says} {serves}", "g++": serves})
    monkeypatch.setenv("CXX", "clang++")
    monkeypatch.setattr(compilers, "_openmp_of_clang", lambda: same_openmp)
    if same_openmp:
        assert answer() == 42 and cpu.used() == "Debian clang version 14.0.6"
        return
    assert cpu.compiler().startswith("g++ ("), "known without compiling"
    with pytest.warns(UserWarning, match=r"g\+\+, not by .*clang\+\+: clang calls another OpenMP") as said:
        assert answer() == 42
    assert len(said) == 1 and "\n" not in str(said[0].message) and str(cpu.used()).startswith("g++ (")


@pytest.mark.parametrize("command", ["launch g++", "'launch' g++ -DX=1"])
def test_a_launcher_before_the_compiler(command: str, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serves, log = f'PATH=/usr/bin:/bin exec {GXX} "$@"', data.parent / "log"
    only(monkeypatch, data.parent, launch=f'echo "$@" >> {log}\nexec "$@"', **{"g++": serves})
    monkeypatch.setenv("CXX", command)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer() == 42
    assert all(line.startswith("g++ ") for line in log.read_text().splitlines())


def test_a_path_with_a_space_is_one_command(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data.parent / "my tools"
    path.mkdir()
    (path / "c++").symlink_to(GXX)
    monkeypatch.setenv("CXX", str(path / "c++"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer() == 42


def test_a_command_that_cannot_be_split_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", 'ccache "g++')
    with pytest.warns(UserWarning, match="no command: No closing quotation"):
        assert answer() == 42


def cpuinfo(folder: Path, *cores: str) -> Path:
    path = folder / "cpuinfo"
    path.write_text("\n\n".join(cores) + "\n")
    return path


ARM = "processor\t: {}\nBogoMIPS\t: 243.75\nFeatures\t: fp asimd{}\nCPU implementer\t: 0x41\nCPU part\t: {}"


def test_builds_for_processors_of_one_home_differ_in_their_names(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On ARM the line is called Features; cores may differ, and their number must not count."""
    processors = {
        "old": [ARM.format(0, "", "0xd0c")],
        "new": [ARM.format(0, " sve", "0xd0c")],
        "other part": [ARM.format(0, "", "0xd40")],
        "mixed": [ARM.format(0, "", "0xd0c"), ARM.format(1, "", "0xd40")],
        "more cores": [ARM.format(0, "", "0xd0c"), ARM.format(1, "", "0xd0c")],
        "x86": ["processor\t: 0\nmodel name\t: A\ncpu MHz\t: 2000.1\nflags\t: fpu avx2"],
        "x86, faster now": ["processor\t: 0\nmodel name\t: A\ncpu MHz\t: 3000.2\nflags\t: fpu avx2"],
        "x86 with more": ["processor\t: 0\nmodel name\t: A\ncpu MHz\t: 2000.1\nflags\t: fpu avx2 avx512f"],
    }
    found = {}
    for name, cores in processors.items():
        monkeypatch.setattr(library, "_CPUINFO", cpuinfo(data.parent, *cores))
        found[name] = library._cpu()
    assert found.pop("more cores") == found["old"] and found.pop("x86, faster now") == found["x86"]
    assert len(set(found.values())) == len(found)
    monkeypatch.setattr(library, "_CPUINFO", data.parent / "none")
    assert library._cpu()
    for name in ("old", "new"):  # which is what the file is called by
        monkeypatch.setattr(library, "_CPUINFO", cpuinfo(data.parent, *processors[name]))
        assert answer() == 42
    assert kept(data) == [".so", ".so"]


def test_a_library_is_stored_and_loaded_before_it_has_its_name(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, checked, replace = os.fsync, library._checked, Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda file: (order.append("fsync" if stat.S_ISREG(os.fstat(file).st_mode) else ""), fsync(file))
    )
    monkeypatch.setattr(library, "_checked", lambda path: (order.append("load"), checked(path))[1])
    monkeypatch.setattr(Path, "replace", lambda path, to: (order.append("name"), replace(path, to))[1])
    assert answer() == 42
    assert order == ["fsync", "load", "name"]


def test_ctrl_c_of_the_terminal_does_not_reach_the_compiler(tmp_path: Path) -> None:
    """A training that notes the signal would go on without kernels, in other bits."""
    said = compilers._run(["sh", "-c", "ps -o sid= -p $$; echo $$"], 10).split() if shutil.which("ps") else ["1", "1"]
    assert said[0] == said[1]
    assert Compiler(("sh",), "1").about == "1"
