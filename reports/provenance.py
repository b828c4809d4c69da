"""Where the numbers of a report come from: a record per run and stage, shared facts told once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ablations import Protocol
from results import STAGES, Run, differences


class Record(NamedTuple):
    """What is known of a finished stage of a run, whose state is finished, stale or unfinished."""

    run: str
    state: str
    stage: str
    facts: dict[str, str]


class Provenance(NamedTuple):
    """Records, the facts that are the same in all that have them, and the names of the others."""

    records: list[Record]
    shared: dict[str, str]
    varying: list[str]

    @property
    def runs(self) -> int:
        return len({record.run for record in self.records})


def provenance(runs: Iterable[Run]) -> Provenance:
    """What provenance.json and run.yaml record of some runs. Raises ResultsError for a damaged file.

    Runs are named with their protocol if there are several.
    """
    runs = list(runs)
    mixed = len({run.protocol for run in runs}) > 1
    records: list[Record] = []
    for run in runs:
        name = f"{run.protocol}/{run.name}" if mixed else run.name
        description = run.description() or {}
        state = run.state(description.get("stages", {})).word
        recorded = run.provenance()
        stages = [name for name in STAGES if name in recorded]
        records += [Record(name, state, stage, _flat(recorded[stage])) for stage in stages]
    values: dict[str, set[str]] = {}
    for record in records:
        for key, value in record.facts.items():
            values.setdefault(key, set()).add(value)
    shared = {key: next(iter(seen)) for key, seen in values.items() if len(seen) == 1}
    return Provenance(records, shared, [key for key in values if key not in shared])


def changed(runs: Iterable[Run], protocol: Protocol) -> list[str]:
    """A line for every run that was trained with other settings than the protocol now has."""
    if protocol.training is None:
        return []
    now = protocol.training.model_dump(mode="json")
    lines = []
    for run in runs:
        stages = (run.description() or {}).get("stages", {})
        trained = stages.get("train", {}).get("training")
        if trained is not None and (changes := differences(trained, now)):
            lines.append(f"{run.name}: {'; '.join(changes)}")
    return lines


def full_sets(runs: Iterable[Run]) -> dict[str, int]:
    """How many images each test set has when complete, as far as the runs recorded it."""
    found: dict[str, int] = {}
    for run in runs:
        stages = (run.description() or {}).get("stages", {})
        for dataset, count in (stages.get("evaluate", {}).get("images") or {}).items():
            found[dataset] = max(found.get(dataset, 0), int(count))
    return found


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found
