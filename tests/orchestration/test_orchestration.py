"""The simulation of many runs, with few of them; and that no change of a finished run escapes `spinbench status`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spinbench import seen
from tests.orchestration.__main__ import VERIFYING, Cost, excesses
from tests.orchestration.world import VARIANTS, define, finish
from tests.spinbench.commands import spinbench


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """Experiment, protocol and results of finished runs, one per variant, whose files are not new."""
    folder = tmp_path_factory.mktemp("many")
    experiment, protocol = define(folder, VARIANTS)
    finish(experiment, protocol, folder / "results")
    return experiment, protocol, folder / "results"


def shown(many: tuple[Path, Path, Path], *options: str) -> str:
    experiment, protocol, root = many
    done = spinbench("status", experiment, "--protocol", protocol, "--results", root, "--threads", 1, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def states(many: tuple[Path, Path, Path]) -> dict[str, str]:
    rows: list[dict[str, Any]] = json.loads(shown(many, "--json"))
    return {row["run"]: row["state"] for row in rows}


def test_a_status_after_run_reads_no_run_again(many: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    experiment, protocol, root = many
    (root / "runs" / "much" / seen.FILE).unlink(missing_ok=True)
    monkeypatch.setattr(seen, "_SETTLED_S", 0.0)
    monkeypatch.setattr("spinbench.runs.render", lambda *_: None)
    done = spinbench("run", experiment, "--protocol", protocol, "--results", root, "--threads", 1)
    assert done.returncode == 0, done.stderr
    with monkeypatch.context() as unread:
        unread.setattr(seen.results.Run, "damage", lambda run: pytest.fail(f"{run.folder} was read again"))
        assert set(states(many).values()) == {"finished"}


def test_finished_runs_are_read_once_and_again_where_something_changed(
    many: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = many[2] / "runs" / "much"
    assert set(states(many).values()) == {"finished"} and len(states(many)) == VARIANTS + 1
    monkeypatch.setattr(seen, "_SETTLED_S", 0.0)
    first = json.loads(shown(many, "--json"))
    read: list[Path] = []
    damage = seen.results.Run.damage
    monkeypatch.setattr(seen.results.Run, "damage", lambda run: (read.append(run.folder), damage(run))[1])
    assert json.loads(shown(many, "--json")) == first and read == []
    weights = root / "net-3-x2-s0" / "weights.safetensors"
    before, content = weights.stat(), bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)  # as long as before, and with its times put back
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "net-5-x2-s0" / "quality.csv").unlink()
    found = states(many)
    assert {name for name, state in found.items() if state != "finished"} == {"net-3-x2-s0", "net-5-x2-s0"}
    assert found["net-3-x2-s0"] == "damaged" and {path.name for path in read} == {"net-3-x2-s0", "net-5-x2-s0"}
    kept = root / seen.FILE
    kept.write_bytes(kept.read_bytes().replace(b'"bytes"', b'"bites"', 1))  # damaged: everything is read again
    assert states(many) == found


def test_of_very_many_runs_those_are_listed_that_are_not_finished(
    many: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinbench.status._MOST", 5)
    (many[2] / "runs" / "much" / "net-7-x2-s0" / "training.csv").write_text("")
    text = shown(many)
    lines = [line for line in text.splitlines() if "│" in line]
    assert 1 <= len(lines) <= 3 and any("net-7-x2-s0" in line for line in lines)
    assert f"many under much: {VARIANTS + 1 - len(lines)} finished runs, which --json lists" in text


def test_the_bounds_of_the_simulation() -> None:
    def costs(**large: Cost) -> dict[int, dict[str, Cost]]:
        small = {"nothing": Cost(2.0, int(3e8)), "plan": Cost(2.1, int(3e8)), "status": Cost(2.2, int(3e8))}
        small |= {VERIFYING: Cost(12.0, int(4e8)), "report": Cost(12.0, int(5e8))}
        return {1_000: small, 10_000: small | large}

    assert excesses(costs()) == []
    assert excesses(costs(report=Cost(102.0, int(2.2e9)))) == []
    assert excesses(costs(status=Cost(6.0, int(3e8)))) == ["status of 10,000 runs takes 6.0 s, expected at most 5 s"]
    assert excesses(costs(report=Cost(202.0, int(3e8)))) == ["report: seconds grow 20.0 times with 10.0 times the runs"]
