"""What a process does with a run is told beside the run, for `spinbench status` in another terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from benchmarks.runs.progress import Advance
from benchmarks.runs.stages import BeginStage
from results import Run
from results.activity import Activity, tell, tell_end

_BETWEEN_S = 5.0


@contextmanager
def announced(run: Run, stage: str = "") -> Iterator[None]:
    """A context in which this process is told to execute the run."""
    tell(run, Activity.of_this_process(stage))
    try:
        yield
    finally:
        tell_end(run)


def told(run: Run, begin: BeginStage) -> BeginStage:
    """The same report of progress, of which the latest is told beside the run too, at most every few seconds."""

    def begin_stage(name: str, stage: str) -> Advance:
        advance, own = begin(name, stage), Activity.of_this_process(stage)
        tell(run, own)
        last = began = time.monotonic()
        first: int | None = None

        def step(done: int, total: int, note: str) -> None:
            nonlocal last, began, first
            advance(done, total, note)
            now = time.monotonic()
            if first is None:  # the first step prepares much; the rate is that of the later ones
                first, began = done, now
            elif now - last < _BETWEEN_S:
                return
            left = (now - began) / (done - first) * (total - done) if done > first else None
            tell(run, replace(own, done=done, total=total, note=note, left_s=left))
            last = now

        return step

    return begin_stage
