"""The judgement of `python -m tests.hostile`, whose inputs are not among the tests: it takes minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.launcher import Done, Place
from tests.hostile.tally import Attempt, judge, passed, rows


@pytest.mark.parametrize(
    ("done", "word"),
    [
        (Done(1, "error: evil.pth: no checkpoint\n", 0, False, False), "refused"),
        (Done(0, "evil.pth: left unread\n", 0, False, False), "handled"),
        (Done(0, "evil.pth: left unread\n", 0, True, False), "executed"),
        (Done(1, "error: evil.pth\n", 0, False, True), "escaped"),
        (Done(1, "error: evil.pth \x1b[2J\n", 0, False, False), "escaped"),
        (Done(1, "Traceback (most recent call last)\nerror: evil.pth", 0, False, False), "tracebacks"),
        (Done(-9, "evil.pth", 0, False, False), "tracebacks"),
        (Done(None, "evil.pth", 0, False, False), "hangs"),
        (Done(1, "error: no such option\n", 0, False, False), "amiss"),
        (Done(1, "evil.pth\n", 0, False, False), "amiss"),
    ],
)
def test_the_worst_counts(done: Done, word: str, tmp_path: Path) -> None:
    outcome = judge(Attempt("kind", "name", lambda _: [], r"evil\.pth"), Place(tmp_path), done)
    assert outcome.word == word
    assert passed(rows([outcome])) == (word in ("refused", "handled"))


def test_nothing_tried_has_not_passed() -> None:
    assert not passed(rows([]))


def test_raw_text_in_a_written_file_has_escaped(tmp_path: Path) -> None:
    place, done = Place(tmp_path), Done(0, "evil", 0, False, False)
    place.furnish()
    attempt = Attempt("kind", "name", lambda _: [], "evil", {"*.html": ("<script>",)})
    assert judge(attempt, place, done).word == "escaped"  # nothing was written
    page = place.inside / "index.html"
    page.write_text("&lt;script>")
    assert judge(attempt, place, done).word == "handled"
    page.write_text("<script>")
    assert judge(attempt, place, done).word == "escaped"
