"""Output that goes, or cannot show every sign, costs no work: closed, a pipe without a reader, a full disk, ASCII."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from foundation.signals import noted_signals
from spinbench.app import main
from spinbench.console import output, say
from tests.spinbench.tiny import CHECKOUT, TINY

COMMAND = f"{sys.executable} -m spinbench"
pytestmark = pytest.mark.skipif(os.name == "nt", reason="shells and devices of Unix")


@contextmanager
def unread() -> Iterator[None]:
    """Standard output is a pipe that nobody reads, in a program in the foreground."""
    reader, writer = os.pipe()
    os.close(reader)
    output.error = None
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with os.fdopen(writer, "w") as stream, contextlib.redirect_stdout(stream):
            yield
    finally:
        signal.signal(signal.SIGINT, before)


def shell(line: str, **environment: str) -> tuple[str, str]:
    done = subprocess.run(
        ["bash", "-c", line], cwd=CHECKOUT, capture_output=True, text=True, env={**os.environ, **environment}
    )
    return done.stdout, done.stderr


def test_a_training_whose_output_is_closed_saves_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["train", "patch", "--protocol", TINY, "--threads", 1, "--results", tmp_path]
    monkeypatch.setattr(sys, "argv", ["spinbench", *map(str, arguments)])
    with unread(), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert (tmp_path / "runs" / "tiny" / "patch-x4-s0" / "checkpoint.pt").is_file()
    told = capsys.readouterr().err
    assert told == "patch-x4-s0: stopped after iteration 2 of 4; its state is saved, and the run resumes from there\n"


def test_only_the_first_line_that_nobody_reads_asks_to_end() -> None:
    with unread(), pytest.raises(KeyboardInterrupt), noted_signals() as received:
        for _ in range(3):
            say("a line")
        assert received == [signal.SIGINT]


def test_a_reader_that_has_enough_is_no_error() -> None:
    assert shell(f"{COMMAND} --version | true; echo ${{PIPESTATUS[0]}}") == ("130\n", "")


def test_closed_streams_change_nothing() -> None:
    assert shell(f"{COMMAND} --version >&- 2>&- <&-; echo $?") == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_full_disk_is_told_at_the_end() -> None:
    told = "error: not all of the output could be written: No space left on device; the work is done\n"
    assert shell(f"{COMMAND} --version > /dev/full; echo $?") == ("1\n", told)


def test_signs_that_an_encoding_lacks_are_written_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(image)
    arguments = ["upscale", str(image), "--model", "bicubic", "--output", str(tmp_path / "é.png")]
    monkeypatch.setattr(sys, "argv", ["spinbench", *arguments])
    shown = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    shown.seek(0)
    assert "\\xe9.png" in shown.read()
