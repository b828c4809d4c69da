"""What `spinbench run` and `status` found of each run, so that files of thousands of finished ones are read once."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import results
from foundation import is_sealed, sealed, write
from results.activity import activity_file

if TYPE_CHECKING:
    from benchmarks.runs.plan import Job

FILE = ".status.json"  # beside the runs of a protocol
_SETTLED_S = 2.0  # a file that was written just now may be written again in the same tick of its clock
_CODE = Path(__file__).parent
Row = dict[str, Any]


class Seen:
    """The rows of the runs in a folder, by name. A row holds as long as what is wanted of the run and the installation
    are the same, and all its files have the size, the times and the place on disk that they had.

    Those of finished runs are kept in a file beside the runs. Bytes that rot on the disk, by which no time changes, are
    thus found where results are used: `run`, `report` and `collect` verify every file.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._rows: dict[str, tuple[str, Row]] = {}
        self._new = False
        with contextlib.suppress(OSError, ValueError, TypeError):
            if is_sealed(self._file):
                kept = json.JSONDecoder().raw_decode(self._file.read_bytes().decode(errors="replace"))[0]
                self._rows = {name: (stamp, row) for name, (stamp, row) in kept.items()}

    def row(self, job: Job, found: Callable[[Job], Row]) -> Row:
        """What `found` tells of the job's run, as long as nothing has changed; of a run at work it is asked always."""
        if activity_file(job.run).exists():
            return found(job)
        name, stamp = job.run.name, _stamp(job)
        if stamp is None or name not in self._rows or self._rows[name][0] != stamp:
            row = found(job)
            if stamp is None or _stamp(job) != stamp:
                return row
            self._rows[name] = stamp, row
            self._new |= row["state"] == "finished"
        return self._rows[name][1]

    def keep(self) -> None:
        """Write the file anew where there is more to keep. Where it cannot be written, nothing is lost."""
        if self._new:
            finished = {name: kept for name, kept in self._rows.items() if kept[1]["state"] == "finished"}
            with contextlib.suppress(OSError):
                write(self._file, sealed(json.dumps(finished).encode()))
            self._new = False


def _stamp(job: Job) -> str | None:
    """What a row depends on; None while files are being written."""
    from benchmarks.measure import provenance

    try:
        files = sorted(_files(os.fspath(job.run.folder)))
    except OSError:  # a file that was being replaced
        return None
    if files and max(times for _, _, _, *several in files for times in several) > (time.time() - _SETTLED_S) * 1e9:
        return None
    kernels = [os.environ.get(name) for name in ("SPINBENCH_NATIVE", "CXX")]  # which remarks are about, too
    here = [_code(), provenance.source_digest(), provenance.versions(), kernels]
    content = json.dumps([*here, job.stages, files], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _files(folder: str) -> Iterator[tuple[str, int, int, int, int]]:
    """Path, bytes, number on disk, and the times of the last change of content and of anything, in ns."""
    if not os.path.isdir(folder):  # noqa: PTH112  # thousands of them
        return
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            yield from _files(entry.path)
        else:
            told = entry.stat()
            yield entry.path, told.st_size, told.st_ino, told.st_mtime_ns, told.st_ctime_ns


@cache
def _code() -> str:
    """What finds a row: another version of it trusts none."""
    places = [*Path(results.__file__).parent.glob("*.py"), *_CODE.glob("*.py")]
    return hashlib.sha256(b"".join(place.read_bytes() for place in sorted(places))).hexdigest()
