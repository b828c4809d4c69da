"""A run that is disturbed and started again: it ends as if nothing had happened, and no finished step is repeated."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

from tests.faults import mounts, world
from tests.faults.launcher import Done, launch, start
from tests.faults.strikes import Strike
from tests.faults.tally import Try
from tests.faults.world import Undisturbed


def killed_after(work: Path, known: Undisturbed, share: float) -> Try:
    """Killed after this share of the time that a run takes."""
    tried = Try("SIGKILL at a moment", f"after {share:.0%}")
    first = launch(world.run(work / "results"), work, kill_after=share * known.seconds)
    return _resumed(tried, work, known, first)


def killed_in_write(work: Path, known: Undisturbed, at: int, phase: str) -> Try:
    """Killed at its at-th change to the disk."""
    tried = Try("SIGKILL in a write", f"{phase} change {at}")
    first = launch(world.run(work / "results"), work, strike=Strike("kill", at, phase))  # type: ignore[arg-type]
    if first.code == 0:
        tried.lost.append(f"it was not killed: {first.changes} changes")
    return _resumed(tried, work, known, first)


def disk_full(work: Path, known: Undisturbed, at: int) -> Try:
    """No file can be written from the at-th on; then there is room again."""
    tried = Try("disk full from a write on", f"file {at}")
    first = launch(world.run(work / "results"), work, strike=Strike("full", at))
    return _refused(tried, work, known, first, "No space left")


def file_too_large(work: Path, known: Undisturbed, size: int) -> Try:
    """No file may be larger."""
    tried = Try("files limited in size", f"{size} bytes")
    first = launch(world.run(work / "results"), work, largest_file=size)
    return _refused(tried, work, known, first, "File too large")


def file_system_full(work: Path, known: Undisturbed, size: int) -> Try:
    """A file system of so many bytes, which grows later."""
    tried = Try("file system full", f"{size} bytes")
    results = work / "results"
    results.mkdir()
    if not mounts.memory(results, size):
        tried.message = "not tried: only root may mount"
        return tried
    try:
        first = launch(world.run(results), work)
        mounts.memory(results, 2**30, again=True)
        return _refused(tried, work, known, first, "No space left")
    finally:
        mounts.remove(results)


def read_only(work: Path, finished: Path, known: Undisturbed, what: str) -> Try:
    """Nothing can be written to the results, new or finished, or to the cache, in which all is that is needed."""
    tried = Try("read-only folder", what)
    results, cache = work / "results", Path(os.environ["SPINBENCH_DATA"])
    if what == "finished results":
        shutil.copytree(finished, results)
    results.mkdir(exist_ok=True)
    folder = cache if what == "cache" else results
    may_mount = mounts.read_only(folder)
    if not may_mount and os.geteuid() == 0:
        tried.message = "not tried: root may write everywhere, and may not mount here"
        return tried
    try:
        if not may_mount:
            _writable(folder, False)
        run = launch(world.run(results), work)
        status = launch(["status", world.EXPERIMENT, *world.options(results)], work)
        report = launch(["report", *world.options(results)], work)
    finally:
        mounts.remove(folder)
        _writable(folder, True)
    tried.lost += [f"{each.crash}" for each in (run, status, report) if each.crash]
    if what == "cache":
        if run.code != 0:
            tried.lost.append(f"run ends with {run.code}: {run.text[-150:]}")
        tried.wrong += known.differences(results)
        return tried
    return _refused(tried, work, known, run, "Read-only|Permission denied")


def failed(work: Path, known: Undisturbed, at: int) -> Try:
    """An exception that nobody expects: one line, the traceback in the run's folder, and the others go on."""
    tried = Try("unexpected exception", f"at change {at}")
    results = work / "results"
    first = launch(world.run(results), work, strike=Strike("bug", at))
    texts = [path.read_text() for path in (results / "runs").rglob("failure.txt")]
    inside_a_run = re.search(r"failed: *\S+-x4-s0|\S+-x4-s0 failed", first.text)
    if inside_a_run and not any("Traceback" in text and "struck" in text for text in texts):
        tried.mute.append("no failure.txt with the traceback")
    if inside_a_run and first.crash:
        tried.lost.append(first.crash)
    return _resumed(tried, work, known, first)


def vanished(work: Path, known: Undisturbed, name: str, at: int) -> Try:
    """The folder of a run is removed when a file of this name was written for the at-th time."""
    tried = Try("run folder removed", f"after {name} {at}")
    results = work / "results"
    first = launch(world.run(results), work, strike=Strike("vanish", at, "after", name))
    if first.code == 0:
        tried.lost.append("removed, and nobody noticed")
    if first.crash:
        tried.lost.append(first.crash)
    other = [each for each in known.files if each.startswith("other")]
    tried.lost += [f"{each} was not made" for each in other if not (world.run_folder(results, each)).is_file()]
    if not re.search(r"one-x4-s0", first.text.partition("failed")[2]):
        tried.mute.append("the run is not named")
    tried.message = _failure(first)
    again = launch(world.run(results), work)
    return _ended(tried, results, known, again)


def clock_back(work: Path, known: Undisturbed, at: int) -> Try:
    """A run is killed, and the clock is an hour back when it goes on, or goes back then."""
    tried = Try("clock going back", f"at change {at}")
    first = launch(world.run(work / "results"), work, strike=Strike("kill", 2, "after", "checkpoint.pt"))
    second = launch(world.run(work / "results"), work, strike=Strike("back", at))
    if second.crash:
        tried.lost.append(second.crash)
    return _resumed(tried, work, known, first._replace(steps=first.steps + second.steps))


def other_file_times(work: Path, finished: Path, known: Undisturbed, years: float) -> Try:
    """All files of finished results bear another time."""
    tried = Try("clock going back", f"file times {years:+} years")
    results = work / "results"
    shutil.copytree(finished, results)
    for number, path in enumerate(sorted(results.rglob("*"))):
        then = time.time() + years * 365.25 * 86400 + number % 7
        os.utime(path, (then, then))
    made = (path for run in (results / "runs").glob("*/*-x*-s*") for path in run.rglob("*"))
    before = {path: path.read_bytes() for path in made if path.is_file()}
    again = launch(world.run(results), work)
    if again.steps or {path: path.read_bytes() for path in before if path.is_file()} != before:
        tried.lost.append("finished work was done again")
    return _ended(tried, results, known, again)


def together(work: Path, known: Undisturbed, delay: float) -> Try:
    """Two orchestrators on the same runs: each leaves to the other what it is at work on, and both end well."""
    tried = Try("two at once", f"{delay:.2f} s apart")
    results = work / "results"
    first = start(world.run(results), work)
    time.sleep(delay)
    both = start(world.run(results), work).wait(), first.wait()
    for done in both:
        if done.code != 0:
            tried.lost.append(done.crash or f"ends with {done.code}: {done.text[-150:]}")
    if sum(done.steps for done in both) > world.STEPS * len(world.TRAINED):
        tried.lost.append("a step was done by both")
    words = re.search(r"\S+-x4-s0[^.\[]{0,30}elsewhere", both[0].text + both[1].text)
    tried.message = words[0] if words else ""
    tried.wrong += known.differences(results)
    return tried


def cache_damaged(work: Path, known: Undisturbed, what: str, kind: str) -> Try:
    """Files of the cache are damaged: they are made again, and the results are the same."""
    tried = Try(f"{what} damaged", kind)
    cache = work / "cache"
    shutil.copytree(os.environ["SPINBENCH_DATA"], cache)
    files = sorted(cache.rglob("*.so" if what == "kernels" else "*.npy"))
    for file in files:
        old = bytearray(file.read_bytes())
        old[len(old) // 2] ^= 1
        file.write_bytes({"flipped": bytes(old), "cut": old[: len(old) // 2], "empty": b""}[kind])
    if not files:
        tried.lost.append("there are none in the cache")
    environment = {"SPINBENCH_DATA": str(cache), "XDG_CACHE_HOME": str(cache)}
    done = launch(world.run(work / "results"), work, environment=environment)
    return _ended(tried, work / "results", known, done)


def _refused(tried: Try, work: Path, known: Undisturbed, first: Done, reason: str) -> Try:
    """It ended with a line that names a file and the reason, and the same command goes on later."""
    tried.message = _failure(first)
    if first.code == 0:
        tried.wrong.append("exit code 0")
    if first.crash:
        tried.lost.append(first.crash)
    file = rf"{re.escape(str(work))}/\S+"
    if not re.search(rf"{file} ?({reason})|({reason})[^.]{{0,30}}{file}", first.text):
        tried.mute.append(f"no file with {reason!r}: {tried.message}")
    return _resumed(tried, work, known, first, interrupted=len(world.TRAINED))


def _resumed(tried: Try, work: Path, known: Undisturbed, first: Done, interrupted: int = 1) -> Try:
    """The same command goes on: of each training that was interrupted, the step that was not saved is repeated."""
    again = launch(world.run(work / "results"), work)
    limit = world.STEPS * len(world.TRAINED) + interrupted
    if first.steps + again.steps > limit:
        tried.lost.append(f"{first.steps} and {again.steps} steps, expected at most {limit} together")
    return _ended(tried, work / "results", known, again)


def _ended(tried: Try, results: Path, known: Undisturbed, done: Done) -> Try:
    """The last command ended well, and all is as if nothing had happened."""
    if done.code != 0:
        tried.lost.append(done.crash or f"ends with {done.code}: {done.text[-150:]}")
    tried.wrong += known.differences(results)
    return tried


def _failure(done: Done) -> str:
    match = re.search(r"(error|failed): .*", done.text)
    return (match[0] if match else done.text)[:200]


def _writable(folder: Path, yes: bool) -> None:
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755 if yes else 0o555)
