"""The command line inside the process of the tests: what it prints and its exit code, without importing torch anew."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import NamedTuple

import torch

from spinbench.app import main


class Done(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


def spinbench(*arguments: object) -> Done:
    """Run `spinbench` with these arguments, as a user would; the threads of this process stay as they are."""
    out, err, before, threads = io.StringIO(), io.StringIO(), sys.argv, torch.get_num_threads()
    sys.argv = ["spinbench", *map(str, arguments)]
    code: object = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code
    finally:
        sys.argv = before
        torch.set_num_threads(threads)
    return Done(code if isinstance(code, int) else int(code is not None), out.getvalue(), err.getvalue())
