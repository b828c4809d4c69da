"""What a run still needs: its stored stages compared with those that are wanted.

A stage is finished when provenance.json records it with the hash of the settings that are wanted, its files are what
was written, and it was made from the files of the stage before. An evaluation is finished set by set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from results.run import STAGES, Run, changed_settings, digest

Stages = Mapping[str, Mapping[str, Any]]
WEIGHTS = STAGES["train"]
# what run.yaml of the first format hashed and does not decide the outcome
_RECORDED = ("device", "dtype", "threads")
_RECORDED_OF_TRAINING = ("data", "workers", "checkpoint_every", "validation")


@dataclass(frozen=True)
class RunState:
    """What is left to do. `stale`: stages made under other settings, with the changes; `damaged`: files, and why.

    `refused` says why the run cannot go on by itself: a training would have to be repeated. `gone`: the weights of a
    finished run were removed, which is allowed, but they cannot be restored without training again.
    """

    pending: tuple[str, ...]
    sets: tuple[str, ...] = ()  # to be measured
    stale: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    refused: str | None = None
    gone: bool = False

    @property
    def word(self) -> Literal["finished", "damaged", "stale", "unfinished"]:
        if self.damaged:
            return "damaged"
        if self.stale:
            return "stale"
        return "unfinished" if self.pending else "finished"

    @property
    def remarks(self) -> list[str]:
        """Everything that is wrong, a line each."""
        told = [self.refused] if self.refused else []
        if self.gone and not self.refused:
            told.append(
                f"{WEIGHTS}: was removed; the measurements remain valid, but restoring it takes another training"
            )
        return [*told, *(line for line in (*self.stale, *self.damaged) if not any(line in one for one in told))]


def state(run: Run, stages: Stages) -> RunState:
    """Compare what is stored of a run with its wanted stages, each with the settings that determine it."""
    damage = run.damage()
    recorded = {} if "provenance.json" in damage else run.provenance()
    description = None if "run.yaml" in damage else run.description()
    stored = (description or {}).get("stages", {})
    first = description is not None and "format" not in description
    damaged = [f"{file}: {reason}" for file, reason in damage.items()]
    pending: list[str] = []
    stale: list[str] = []
    sets: tuple[str, ...] = ()
    refused: str | None = None
    for stage in (name for name in STAGES if name in stages):
        record = recorded.get(stage)
        if stage == "evaluate":
            changes, sets = _evaluation(run, stages[stage], stored.get(stage), record, recorded, damage, first)
            if changes:
                stale.append(f"{stage}: {'; '.join(changes)}")
            if sets or (STAGES[stage] in damage and record):
                pending.append(stage)
            continue
        changes = _changes(stages[stage], stored.get(stage), record, first)
        begun = stage == "train" and run.path("checkpoint.pt").is_file()
        if record is None and not begun:
            pending.append(stage)
            continue
        if changes:
            stale.append(f"{stage}: {'; '.join(changes)}")
        if stage == "train":
            if changes:
                network = any(change.startswith(("model:", "config")) for change in changes)
                way_out = "; another network needs a variant of another name" if network else ""
                refused = f"was trained under other settings ({'; '.join(changes)}){way_out}"
            elif record is None:
                pending.append(stage)
            elif WEIGHTS in damage:
                refused = f"{run.path(WEIGHTS)}: {damage[WEIGHTS]}"
        elif changes or STAGES[stage] in damage or not run.path(STAGES[stage]).is_file():
            pending.append(stage)
    gone = "train" in stages and "train" in recorded and not run.path(WEIGHTS).is_file()
    if refused is None and gone and "evaluate" in pending:
        refused = f"{run.path(WEIGHTS)}: is missing, and the run is not evaluated yet; restore it, or train again"
    return RunState(tuple(pending), tuple(sets), tuple(stale), tuple(damaged), refused, gone)


def _changes(wanted: Any, stored: Any, record: Any, first: bool) -> list[str]:
    """The settings in which what is stored differs from what is wanted."""
    if record is not None and record["hash"] == digest(wanted):
        return []
    if stored is None:
        return [] if record is None else ["run.yaml does not say under which settings it was made"]
    if record is not None and not first and record["hash"] != digest(stored):
        return ["run.yaml and provenance.json belong to different attempts"]
    return of_first_format(stored, wanted) if first else changed_settings(stored, wanted)


def _evaluation(
    run: Run, wanted: Any, stored: Any, record: Any, recorded: Any, damage: Mapping[str, str], first: bool
) -> tuple[list[str], tuple[str, ...]]:
    """What was measured under other settings, and the sets that are to be measured."""
    asked = wanted["sets"]
    if record is None:
        return [], tuple(asked)
    if first:  # its files bear no SHA-256: they are measured again, which is cheap
        return [], tuple(asked)
    common = {key: value for key, value in wanted.items() if key != "sets"}
    changes = _changes(common, {key: value for key, value in (stored or {}).items() if key != "sets"}, record, False)
    if changes:
        return changes, tuple(asked)
    trained = recorded.get("train", {}).get("products", {}).get(WEIGHTS)
    if trained is not None and trained != record.get("inputs", {}).get(WEIGHTS):
        return [f"{WEIGHTS}: other weights than were measured"], tuple(asked)
    measured = record.get("sets", {})
    known = (stored or {}).get("sets", {})
    sets, changes = [], []
    for name, settings in asked.items():
        entry = measured.get(name)
        if entry is None or entry["file"] in damage:
            sets.append(name)
        elif entry["hash"] != digest(settings):
            sets.append(name)
            changes += changed_settings(known.get(name, {}), settings, name) or [
                f"{name}: measured under other settings"
            ]
    return changes, tuple(sets)


def of_first_format(stored: Any, wanted: Any) -> list[str]:
    """The differences in what both formats of run.yaml know, without what the first one hashed unnecessarily."""
    old = {key: value for key, value in stored.items() if key in wanted and key not in _RECORDED}
    new = {key: value for key, value in wanted.items() if key in old}
    if isinstance(old.get("training"), dict):
        old["training"] = {key: value for key, value in old["training"].items() if key not in _RECORDED_OF_TRAINING}
    return changed_settings(old, new)
