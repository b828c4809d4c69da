"""How the kernels are had: compiled at first use, kept in private, checked before they are loaded, or done without."""

from __future__ import annotations

import ctypes
import os
import re
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import models
from foundation import is_sealed
from models.spin import cpu
from models.spin.cpu import library
from models.spin.cpu.compilers import Compiler
from tests.models.one_kernel import use_one_function


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the kernels, where nothing is compiled yet; kernels are one function, which is compiled at once."""
    if cpu.kernels() is None:
        pytest.skip("needs the kernels (a C++ compiler, and SPINBENCH_NATIVE not 0)")
    return use_one_function(tmp_path, monkeypatch) / "kernels"


def load() -> ctypes.CDLL | None:
    """The library as another process would have it."""
    library._asked.clear()
    found = cpu.kernels()
    return found.library if found else None


def answer() -> int:
    found = load()
    assert found is not None
    return int(found.answer())


def no_compiler(*arguments: object) -> None:
    raise AssertionError(f"compiled: {arguments}")


def test_they_are_compiled_once_and_kept_in_private(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0)  # what others may do with a new file is decided here
    try:
        assert answer() == 42
    finally:
        os.umask(before)
    (kept,) = kernels.iterdir()
    assert kernels.stat().st_mode & 0o777 == 0o700 and kept.stat().st_mode & 0o777 == 0o600
    assert is_sealed(kept)
    monkeypatch.setattr(Compiler, "run", no_compiler)
    assert answer() == 42
    assert list(kernels.iterdir()) == [kept]


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place:][1:]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:100],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: flipped(content, len(content) // 2),
        lambda content: flipped(content, len(content) - 1),
        lambda content: content[:-32],  # what the linker would take
        lambda content: b"x" * 8192,
    ],
    ids=["empty", "head", "half", "last byte", "longer", "flipped", "flipped seal", "no seal", "nonsense"],
)
def test_a_damaged_library_is_compiled_again(kernels: Path, damage: Callable[[bytes], bytes]) -> None:
    """To load one that is cut would end the process with SIGBUS."""
    assert answer() == 42
    (kept,) = kernels.iterdir()
    content = kept.read_bytes()
    kept.unlink()  # not in place: this process has it
    kept.write_bytes(damage(content))
    kept.chmod(0o600)
    damaged = kept.open("rb")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert answer() == 42
    assert [str(each.message) for each in said] == [f"{kept}: damaged, so the kernels are compiled again"]
    assert kept.read_bytes() == content or is_sealed(kept)
    assert damaged.read() == damage(content), "overwritten while a process may have it"
    damaged.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert answer() == 42


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda folder, file, patch: folder.chmod(0o770), "kernels can be written by other users"),
        (lambda folder, file, patch: folder.chmod(0o707), "kernels can be written by other users"),
        (lambda folder, file, patch: file.chmod(0o622), r"\.so can be written by other users"),
        (lambda folder, file, patch: patch.setattr(os, "geteuid", lambda: folder.stat().st_uid + 1),
         "kernels belongs to another user"),
    ],
    ids=["group's folder", "everybody's folder", "everybody's file", "another's folder"],
)  # fmt: skip
def test_what_others_could_have_written_is_not_loaded(
    spoil: Callable[[Path, Path, pytest.MonkeyPatch], None], reason: str, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer() == 42
    (kept,) = kernels.iterdir()
    spoil(kernels, kept, monkeypatch)
    monkeypatch.setattr(Compiler, "run", no_compiler)
    monkeypatch.setattr(ctypes, "CDLL", no_compiler)
    with pytest.warns(UserWarning, match=reason) as said:
        assert load() is None
    assert len(said) == 1 and "\n" not in str(said[0].message)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_library_that_another_user_planted_is_not_loaded(kernels: Path) -> None:
    assert answer() == 42
    (kept,) = kernels.iterdir()
    content = kept.read_bytes()
    kept.unlink()  # not in place: this process has it
    kept.write_bytes(content)
    kept.chmod(0o600)
    os.chown(kept, 12345, -1)
    with pytest.warns(UserWarning, match=r"\.so belongs to another user"):
        assert load() is None


def test_an_unwritable_cache_is_one_warning(kernels: Path) -> None:
    kernels.parent.write_text("a file")
    with pytest.warns(UserWarning, match=f"without its kernels.*{re.escape(str(kernels))}") as said:
        assert load() is None
    assert len(said) == 1


def test_nothing_is_compiled_for_what_has_no_kernels(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another device or precision, by any part of a network."""
    monkeypatch.setattr(Compiler, "run", no_compiler)

    def spin() -> nn.Module:
        return models.build("spin", 2, blocks=1).eval()

    x = torch.rand(1, 3, 24, 30)
    with torch.no_grad():
        spin().double()(x.double())
        spin().to("meta")(x.to("meta"))
        with cpu.off():
            spin()(x)
    assert cpu.used() is None and not kernels.exists()


def test_the_compiler_is_known_without_compiling(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu.compiler() != "none" and cpu.used() is None
    assert not kernels.exists()
    assert answer() == 42
    assert cpu.used() == cpu.compiler()


def compiler(folder: Path, script: str) -> str:
    path = folder / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("end", ["kill -INT $$", "kill -TERM $$", "exit 130"])
def test_a_compilation_that_was_interrupted_interrupts_the_work(
    end: str, kernels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches the compiler too. A training that had only noted it went on without kernels, in other bits."""
    script = f"[ $1 = --version ] && echo 1 && exit; {end}"
    monkeypatch.setenv("CXX", compiler(kernels.parents[1], script))
    with pytest.raises(KeyboardInterrupt, match="compilation of the kernels was interrupted"):
        load()
    assert cpu.used() is None and not list(kernels.iterdir())
    monkeypatch.delenv("CXX")
    assert answer() == 42


@pytest.mark.parametrize("word", ["0", "false", "No", "OFF", " off "])
def test_they_can_be_switched_off(word: str, kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINBENCH_NATIVE", word)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load() is None
    assert (cpu.used(), cpu.compiler()) == ("none", "none") and not kernels.exists()
