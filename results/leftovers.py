"""What lies below the results and in the cache folder and can go: stale runs, caches, leftovers of killed processes.

Nothing of a run that counts or that a process executes is listed, nor anything that a link leads to. Downloads stay,
since some were put there by hand.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from foundation import cache_folder, own_folder
from results.activity import read_activity, size
from results.merging import PARTIAL
from results.queue import SLURM, queue

KINDS = {
    "stale runs": "trained under other settings, and kept when they were repeated",
    "caches": "decoded images and compiled kernels, made again where they are needed",
    "leftovers": "of processes that were killed",
}
_WRITTEN = "yaml|json|csv|safetensors|pt|txt|npy|png|pdf|svg|html|tex|md|now|sha256"
_TEMPORARY = re.compile(rf"\..+\.(?:{_WRITTEN})\.[a-z0-9_]{{8}}")  # of foundation.write
_DOWNLOAD = re.compile(r"tmp[a-z0-9_]{8}")  # of pooch, and of the compiler
_AT_WORK_S = 3600.0  # what was written to within the last hour may be in use


@dataclass(frozen=True)
class Leftover:
    kind: str
    path: Path
    bytes: int


def leftovers(root: Path, caches: bool = True) -> list[Leftover]:
    """Everything that can go below `root` (of results) and in the cache folder, by kind; `caches` unless in use."""
    found: list[Leftover] = []
    caches_of_user = dict.fromkeys([cache_folder(), *(own_folder(part).parent for part in ("decoded", "kernels"))])
    for kind, folder, paths in _candidates(root, caches_of_user, caches):
        found += [Leftover(kind, path, size(path)) for path in sorted(paths) if _inside(path, folder)]
    return found


def remove(each: Leftover) -> None:
    """Delete it; what is gone already is no error. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        if each.path.is_dir():
            shutil.rmtree(each.path)  # does not follow links
        else:
            each.path.unlink()


def at_work() -> bool:
    """Whether another process of this suite runs on this machine, which may need the caches."""
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid not in own and any(Path(word).name == "spinbench" for word in process.cmdline()):
                return True  # the command, or python -m spinbench
    return False


def _candidates(root: Path, cached: Iterable[Path], caches: bool) -> Iterator[tuple[str, Path, Iterable[Path]]]:
    """Kind, the folder that is not to be left, and paths."""
    yield "stale runs", root, (path for path in root.glob("runs/*/stale/*") if path.is_dir())
    for cache in cached if caches else ():
        yield "caches", cache, [*cache.glob("decoded/*.npy"), *cache.glob("kernels/*.so")]
    jobs = queue()
    told = ((path, read_activity(path)) for path in root.glob("runs/*/.*.now"))
    yield "leftovers", root, (path for path, activity in told if not (activity and activity.alive(jobs)))
    if jobs is not None:  # those that wait need their files
        waiting = {job.partition("_")[0] for job in jobs}
        ended = (path for path in root.glob(f"{SLURM}/[0-9]*_*") if path.name.partition("_")[0] not in waiting)
        yield "leftovers", root, _old(ended)
    yield "leftovers", root, _old(root.glob(f"runs/*/{PARTIAL}*"))
    for part in ("runs", "report", "pictures"):
        yield "leftovers", root, _old(path for path in root.glob(f"{part}/**/.*") if _TEMPORARY.fullmatch(path.name))
    for cache in cached:
        hidden = [path for path in cache.glob("**/.*") if _TEMPORARY.fullmatch(path.name)]
        downloads = [path for path in cache.glob("**/tmp*") if _DOWNLOAD.fullmatch(path.name)]
        yield "leftovers", cache, _old([*hidden, *downloads, *cache.glob("archives/unpacking-*")])


def _old(paths: Iterable[Path]) -> Iterator[Path]:
    """Those in which nothing was written for an hour."""
    for path in paths:
        with contextlib.suppress(OSError):
            if time.time() - max(each.lstat().st_mtime for each in (path, *path.rglob("*"))) > _AT_WORK_S:
                yield path


def _inside(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder also if links are followed, and is none itself."""
    return not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())
