"""Runs of several machines in one folder of results."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from filelock import Timeout

from foundation import SpinbenchError, one_line, write
from foundation.locks import locked
from results.run import FOLDER_NAME, ROOT, STAGES, ResultsError, Run, changed_settings, digest

WEIGHTS = STAGES["train"]
PARTIAL = ".partial-"  # begins the name of a run's folder while it is copied


class Merged(NamedTuple):
    """What became of a run of another folder; `reason` says why it was refused."""

    run: Run
    word: Literal["copied", "extended", "there already", "refused"]
    reason: str | None = None


def merge(source: Path, root: Path = ROOT) -> list[Merged]:
    """Take over the runs below `source`, a folder of results, its `runs`, a protocol's folder or that of a run.

    A run that is here already is replaced only by one with the same stages, made from the same bytes, and more of them;
    the run that was here is kept under stale/. Conflicting and damaged ones are refused and stay where they are.
    Nothing outside the run folders is read, and links are not followed. Raises ResultsError where there is no run.
    """
    found = _runs(source)
    if not found:
        raise ResultsError(f"{source}: holds no runs, expected a folder of results such as results/ of another machine")
    return [_merged(run, Run(run.protocol, run.variant, run.scale, run.seed, root)) for run in found]


def _runs(source: Path) -> list[Run]:
    for pattern in ("runs/*/*", "*/*", "*", ""):
        folders = [source] if not pattern else source.glob(pattern)
        runs = [
            Run.at(path)
            for path in sorted(folders)
            if FOLDER_NAME.fullmatch(path.resolve().name) and path.is_dir() and (path / "run.yaml").is_file()
        ]
        if runs:
            return runs
    return []


def _merged(other: Run, own: Run) -> Merged:
    if own.folder.resolve() == other.folder.resolve():
        return Merged(own, "there already")
    try:
        with locked(own.lock, timeout=0):
            return _taken_over(other, own)
    except Timeout:
        return Merged(own, "refused", "another process is executing it here")
    except (SpinbenchError, OSError) as error:
        return Merged(own, "refused", one_line(error))


def _taken_over(other: Run, own: Run) -> Merged:
    if reason := _unusable(other):
        return Merged(own, "refused", reason)
    if not own.folder.is_dir():
        _replace(other, own)
        return Merged(own, "copied")
    if reason := _conflict(other, own):
        return Merged(own, "refused", reason)
    if not set(other.provenance()) - set(own.provenance()):
        return Merged(own, "there already")
    _replace(other, own)
    return Merged(own, "extended")


def _unusable(run: Run) -> str | None:
    if damage := run.damage():
        return "; ".join(f"{file}: {reason.partition(';')[0]}" for file, reason in damage.items())
    links = [path.relative_to(run.folder) for path in run.folder.rglob("*") if path.is_symlink()]
    if links:
        return f"{links[0]} is a link, expected files"
    return None if run.provenance() else "no stage of it is finished"


def _conflict(other: Run, own: Run) -> str | None:
    """Why two folders are not the same run at different times."""
    if own.damage():
        return f"the one here is damaged: {', '.join(own.damage())}"
    stages = [(run.description() or {}).get("stages", {}) for run in (own, other)]
    for stage in sorted(set(stages[0]) & set(stages[1])):
        if changes := changed_settings(_settings(stages[0][stage]), _settings(stages[1][stage])):
            return f"{stage}: other settings than here ({'; '.join(changes)})"
    for stage, record in own.provenance().items():
        there = other.provenance().get(stage)
        if there is None:
            if set(other.provenance()) - set(own.provenance()):
                return f"{stage}: only here, and others only there"
        elif digest(record.get("products")) != digest(there.get("products")):
            return f"{stage}: other results than here ({_differing(record, there)})"
    return None


def _settings(stage: Mapping[str, Any]) -> dict[str, Any]:
    """Without the sets of an evaluation, which may be measured one by one."""
    return {key: value for key, value in stage.items() if key != "sets"}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    products = one.get("products", {}), other.get("products", {})
    return ", ".join(
        file for file in sorted({*products[0], *products[1]}) if products[0].get(file) != products[1].get(file)
    )


def _replace(other: Run, own: Run) -> None:
    """Put a copy of a run in the place of one's own, which is set aside when the copy is complete and proven."""
    copy = replace(own, stored=own.folder.parent / f"{PARTIAL}{own.name}")
    shutil.rmtree(copy.folder, ignore_errors=True)
    try:
        shutil.copytree(other.folder, copy.folder, symlinks=True)
        if own.intact(WEIGHTS) and not copy.path(WEIGHTS).is_file():  # removed there to save room
            shutil.copyfile(own.path(WEIGHTS), copy.path(WEIGHTS))
        if damage := copy.damage():
            raise ResultsError(f"changed while it was copied: {', '.join(damage)}")
        _definitions(other, own)
        aside = own.set_aside() if own.folder.exists() else None
        try:
            copy.folder.rename(own.folder)
        except OSError:
            if aside:
                aside.rename(own.folder)
            raise
    finally:
        shutil.rmtree(copy.folder, ignore_errors=True)


def _definitions(other: Run, own: Run) -> None:
    """The protocol and the experiments that are kept with the runs, where there are none yet."""
    there, here = other.folder.parent, own.folder.parent
    for source in [there / "protocol.yaml", *(there / "experiments").glob("*.yaml")]:
        target = here / source.relative_to(there)
        if source.is_file() and not source.is_symlink() and not target.exists():
            write(target, source.read_bytes())
