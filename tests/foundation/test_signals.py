"""Requests to end reach what is in progress, and children end with their parent, however that ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from foundation.signals import STOP, accept_signals, noted_signals, stop

CHECKOUT = Path(__file__).parents[2]
PARENT = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from foundation.signals import end_with_parent, ignore_signals

def begin(ignore):
    if ignore:
        ignore_signals()
    end_with_parent()

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(1, context, initializer=begin, initargs=(bool(int(sys.argv[2])),)) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


@pytest.fixture(autouse=True)
def handler_kept() -> Iterator[None]:
    """Tests set it, and the others rely on it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.parametrize("ignore", [0, 1], ids=["", "ignores signals"])
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_children_end_when_their_parent_is_killed(start: str, ignore: int, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, script, start, str(ignore)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )  # fmt: skip
    assert parent.stdout
    child = int(parent.stdout.readline())
    assert not gone(child, 0)
    parent.kill()
    parent.wait()
    assert gone(child)


def test_a_request_to_end_is_noted_once() -> None:
    """Ctrl-C also ends the reader of a pipe; the closed pipe that follows is no second signal, which acts at once."""
    with pytest.raises(KeyboardInterrupt), noted_signals() as received:
        stop()
        time.sleep(1.1)
        stop()
        assert received == [signal.SIGINT]
    with pytest.raises(KeyboardInterrupt):
        stop()


def test_a_signal_right_after_such_a_request_is_the_same_one() -> None:
    with pytest.raises(KeyboardInterrupt), noted_signals() as received:
        stop()
        signal.raise_signal(signal.SIGTERM)  # of the group to which reader and writer belong
        assert received == [signal.SIGINT, signal.SIGTERM]


def test_what_asks_to_end_is_noted_unless_it_is_ignored() -> None:
    assert {signal.SIGINT, signal.SIGTERM} <= set(STOP) and (os.name == "nt" or signal.SIGHUP in STOP)
    before = {number: signal.getsignal(number) for number in STOP}
    signal.signal(STOP[-1], signal.SIG_IGN)  # as nohup does with SIGHUP
    try:
        with noted_signals() as received:
            signal.raise_signal(STOP[-1])
            assert not received
    finally:
        signal.signal(STOP[-1], before[STOP[-1]])
    assert {number: signal.getsignal(number) for number in STOP} == before


IMPORTING = """
import multiprocessing, time
from foundation.signals import withheld

if __name__ == "__main__":
    with withheld():
        child = multiprocessing.get_context("spawn").Process(target=print, args=("imported",))
        child.start()
    try:
        print("started", flush=True)
        child.join(30)
    except KeyboardInterrupt:
        child.join(30)
    print(child.exitcode)
else:
    time.sleep(1)  # in the child
"""


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_child_that_imports_is_not_ended_by_ctrl_c(tmp_path: Path) -> None:
    """A data worker that died so made the training fail, and the next run began."""
    script = tmp_path / "parent.py"
    script.write_text(IMPORTING)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    pipe = subprocess.PIPE
    parent = subprocess.Popen(
        [sys.executable, script], stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True
    )
    assert parent.stdout and parent.stdout.readline() == "started\n"
    time.sleep(0.5)
    os.killpg(parent.pid, signal.SIGINT)
    assert parent.communicate() == ("imported\n0\n", "")


@pytest.mark.parametrize(
    ("before", "after"), [(signal.default_int_handler, signal.SIG_DFL), (signal.SIG_IGN, signal.SIG_IGN)]
)
def test_accepted_signals_end_a_process_unless_they_were_ignored(before: Any, after: Any) -> None:
    signal.signal(signal.SIGINT, before)
    accept_signals()
    assert signal.getsignal(signal.SIGINT) == after
