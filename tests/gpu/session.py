"""What every check is given: the device, the sizes, where its results are kept, and its one line of summary."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.measure import provenance
from benchmarks.measure.devices import device_facts
from foundation import write

Size = TypeVar("Size")


@dataclass(frozen=True)
class Session:
    """A device, the file of a check's results, and whether it is a rehearsal: on a CPU, with the smallest sizes that
    still take every path."""

    device: torch.device
    rehearsal: bool
    file: Path

    def sized(self, whole: Size, small: Size) -> Size:
        """The value for a GPU, or the one for a rehearsal."""
        return small if self.rehearsal else whole

    def keep(self, found: dict[str, Any]) -> None:
        """Write what is known so far: a check that is stopped later has kept it."""
        write(self.file, json.dumps({**self._about(), **found}, indent=1) + "\n")

    def _about(self) -> dict[str, Any]:
        facts = provenance.versions()
        return {
            "check": self.file.stem,
            "card": device_facts(self.device)["name"],
            "rehearsal": self.rehearsal,
            "python": facts["python"],
            "torch": facts["torch"],
            "commit": provenance.commit(),
            "source": provenance.source_digest(),
        }

    def synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object], repeats: int) -> float:
        """Seconds of a call, of `repeats` issued back to back after two others; in a rehearsal of one after one."""
        repeats, before = self.sized((repeats, 2), (1, 1))
        for _ in range(before):
            run()
        self.synchronise()
        begin = time.perf_counter()
        for _ in range(repeats):
            run()
        self.synchronise()
        return (time.perf_counter() - begin) / repeats

    @contextmanager
    def peak(self, found: dict[str, Any]) -> Iterator[None]:
        """Record the most bytes within the context beyond those before it, and all that the allocator reserved.

        Nothing is recorded on a CPU.
        """
        if self.device.type != "cuda":
            yield
            return
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        yield
        found["peak_bytes"] = torch.cuda.max_memory_allocated(self.device) - before
        found["reserved_bytes"] = torch.cuda.max_memory_reserved(self.device)
