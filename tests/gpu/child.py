"""One check in a process of its own: `python -m tests.gpu.child MODULE FILE [--rehearse]`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from benchmarks.measure import devices
from tests.gpu.session import Session


def main(module: str, file: str, *rehearse: str) -> None:
    """Carry out `check(session)` of a module, which returns its results, and write them to the file as JSON.

    Among the results, `summary` is a line for the console, and `wrong` lists what should not be so.
    """
    session = Session(devices.device("cpu" if rehearse else "cuda"), bool(rehearse), Path(file))
    session.keep({})
    session.keep(importlib.import_module(module).check(session))


if __name__ == "__main__":
    main(*sys.argv[1:])
