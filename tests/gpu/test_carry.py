"""What travels to a machine without network: the choice of packages and files, with a pip that downloads nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from benchmarks.data.registry import entries
from tests.gpu import carry
from tests.gpu.carry import CarryError, lacking, main, packages_in

SOURCES_ONLY = ("fvcore", "iopath")
CARD_MACHINE = "torch==2.11.0+cu130, numpy==2.5.2 scipy\nscikit-image, pandas, matplotlib, Pillow==12.0, PyYAML, typer"


def names(requirements: list[str]) -> set[str]:
    return {requirement.partition("==")[0] for requirement in requirements}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The calls of pip, which writes a wheel of a byte, but has only sources of two packages."""
    calls: list[tuple[str, ...]] = []

    def pip(*arguments: str) -> None:
        calls.append(arguments)
        command, folder, requirement = arguments[0], Path(arguments[-2]), arguments[-1]
        name, _, version = requirement.partition("==")
        if command == "download" and name in SOURCES_ONLY:
            raise CarryError("no matching distribution")
        tag = "none-any" if command == "wheel" else "cp312-manylinux_2_17_x86_64"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name.replace('-', '_')}-{version}-py3-{tag}.whl").write_bytes(b"0")

    monkeypatch.setattr(carry, "pip", pip)
    return calls


def test_packages_are_read_as_tools_list_them() -> None:
    found = packages_in("torch==2.11.0+cu130\nPyYAML, typing_extensions==4.16.0")
    assert found == {"torch": "2.11.0+cu130", "pyyaml": None, "typing-extensions": "4.16.0"}


def test_what_is_lacking_includes_what_is_needed_indirectly() -> None:
    everything = names(lacking({}))
    assert {"torch", "sympy", "fvcore", "yacs", "pydantic", "pydantic-core", "typing-inspection"} <= everything
    assert not {"spin-bench", "pytest", "ruff"} & everything
    there = names(lacking(packages_in(CARD_MACHINE)))
    assert {"fvcore", "iopath", "yacs", "pydantic-core", "tueplots"} <= there < everything
    assert not {"torch", "sympy", "scikit-image", "pillow"} & there  # nor what only torch needs


def test_a_package_that_is_too_old_is_carried() -> None:
    assert "typer" in names(lacking(packages_in("typer==0.12.0")))
    assert "typer" not in names(lacking(packages_in("typer==0.30.0")))


def test_a_folder_is_prepared(
    tmp_path: Path, mirror_folder: Path, asked: list[tuple[str, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.txt").write_text(CARD_MACHINE)
    folder = tmp_path / "carried"
    main([str(folder), "--there", str(tmp_path / "there.txt")])
    wheels = {path.name.partition("-")[0].replace("_", "-") for path in (folder / "wheels").iterdir()}
    assert wheels == names(lacking(packages_in(CARD_MACHINE)))
    downloads = [call for call in asked if call[0] == "download"]
    assert all("3.12" in call and "manylinux_2_17_x86_64" in call and "--no-deps" in call for call in downloads)
    assert names([call[-1] for call in asked if call[0] == "wheel"]) == set(SOURCES_ONLY)

    carried = {path.relative_to(folder / "mirror").as_posix(): path for path in (folder / "mirror").rglob("*.*")}
    wanted = {entry.path: entry for name in ("Set5", "imdn", "hpinet_m", "lapar_a") for entry in entries(name)}
    assert {path for path, entry in wanted.items() if entry.scale in (0, 4)} <= set(carried)
    assert not {path for path, entry in wanted.items() if entry.scale in (2, 3)} & set(carried)
    for path, file in carried.items():
        if path in wanted:
            assert hashlib.sha256(file.read_bytes()).hexdigest() == wanted[path].hash

    *_, told = capsys.readouterr().out.splitlines()
    assert f"--target {folder}/site {folder}/wheels/*.whl" in told
    assert f"SPINBENCH_MIRROR={folder}/mirror python3 -m tests.gpu" in told


def test_a_folder_of_the_checkout_is_named_relative_to_it() -> None:
    assert 'PYTHONPATH="$PWD"/carried/site' in carry.command(carry.CHECKOUT / "carried")


def test_what_the_mirror_lacks_is_named(
    tmp_path: Path,
    asked: list[tuple[str, ...]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path / "empty"))
    main([str(tmp_path / "carried")])
    told = capsys.readouterr().out
    assert "0 files of the mirror; not available: " in told and "IMDN_x4.pth" in told


def test_too_much_is_refused(tmp_path: Path, asked: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carry, "MOST", 10)
    monkeypatch.setenv("SPINBENCH_MIRROR", str(tmp_path))
    with pytest.raises(CarryError, match=r"expected at most .* --there leaves out more"):
        main([str(tmp_path / "carried")])


def test_an_existing_folder_is_refused(tmp_path: Path, asked: list[tuple[str, ...]]) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(CarryError, match="exists"):
        main([str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"] and not asked


def test_a_package_without_a_wheel_for_the_machine_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def pip(*arguments: str) -> None:
        if arguments[0] == "download":
            raise CarryError("no matching distribution")
        (tmp_path / "compiled-1.0-cp311-cp311-linux_x86_64.whl").write_bytes(b"0")

    monkeypatch.setattr(carry, "pip", pip)
    with pytest.raises(CarryError, match=r"compiled==1\.0: there is no wheel for Python 3\.12, nor is it pure Python"):
        carry.fetch_wheel("compiled==1.0", tmp_path)
