"""The provenance of a report's numbers: a record per run and stage, with shared facts listed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from results import STAGES, Run, processes


class Record(NamedTuple):
    """What is known of a finished stage of a run, whose state is finished or unfinished."""

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
        wanted = (run.description() or {}).get("stages", {})
        recorded = run.provenance()
        state = "finished" if set(wanted) <= set(recorded) else "unfinished"
        stages = [name for name in STAGES if name in recorded]
        records += [Record(name, state, stage, _facts(recorded[stage])) for stage in stages]
    values: dict[str, set[str]] = {}
    for record in records:
        for key, value in record.facts.items():
            values.setdefault(key, set()).add(value)
    shared = {key: next(iter(seen)) for key, seen in values.items() if len(seen) == 1}
    return Provenance(records, shared, [key for key in values if key not in shared])


def remarks(runs: Iterable[Run]) -> list[str]:
    """What trainings went on in another process or cannot be repeated to the same bits: a line for each remark."""
    told: dict[str, list[str]] = {}
    for run in runs:
        for line in processes.remarks(run.provenance().get("train", {})):
            told.setdefault(line, []).append(run.name)
    return [f"{', '.join(names)}: {line}" for line, names in told.items()]


def full_sets(runs: Iterable[Run]) -> dict[str, int]:
    """How many images each test set has when complete, as far as the runs recorded it."""
    found: dict[str, int] = {}
    for run in runs:
        stages = (run.description() or {}).get("stages", {})
        evaluate = stages.get("evaluate", {})
        counts = {name: one["images"] for name, one in evaluate.get("sets", {}).items()}
        for dataset, count in (counts or evaluate.get("images") or {}).items():  # the latter in the first format
            found[dataset] = max(found.get(dataset, 0), int(count))
    return found


def _facts(record: Mapping[str, Any]) -> dict[str, str]:
    """What of a record is worth a column; files and sets have their own hashes in provenance.json."""
    told_elsewhere = ("products", "inputs", "sets", "earlier", "varying", "unlike")
    return _flat({key: value for key, value in record.items() if key not in told_elsewhere})


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found
