"""A task for several names at once, in a process for each core."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from foundation import SpinbenchError
from foundation.signals import end_at_once, withheld

T = TypeVar("T")


def in_processes(task: Callable[[str], T], names: Sequence[str]) -> Iterator[T]:
    """What a task returns for each name, in their order; with one core or one name, from this process.

    Raises SpinbenchError if one of the processes was ended.
    """
    count = min(len(names), os.cpu_count() or 1)
    if count == 1:
        yield from map(task, names)
        return
    method = "fork" if sys.platform == "linux" else "spawn"
    with ProcessPoolExecutor(count, multiprocessing.get_context(method), initializer=end_at_once) as pool:
        with withheld():
            found = pool.map(task, names)
        try:
            yield from found
        except BrokenProcessPool as error:
            told = f"a process that worked on one of {', '.join(names)} was ended, perhaps for lack of memory"
            raise SpinbenchError(told) from error
