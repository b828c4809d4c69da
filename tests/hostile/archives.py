"""Zip archives whose members leave the folder, are links, or fill the disk, in place of a registered set of images."""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from benchmarks.data import registry
from tests.hostile.launcher import Place
from tests.hostile.tally import Attempt

NAME = "DIV2K_valid_HR.zip"


def _climbing(archive: zipfile.ZipFile, place: Place) -> None:
    archive.writestr("../../../../outside/evil.txt", "x")


def _absolute(archive: zipfile.ZipFile, place: Place) -> None:
    archive.writestr(str(place.outside / "evil.txt"), "x")


def _backslashes(archive: zipfile.ZipFile, place: Place) -> None:
    archive.writestr("..\\..\\..\\..\\outside\\evil.txt", "x")


def _link(archive: zipfile.ZipFile, place: Place) -> None:
    """A link to a folder outside, and a file through it."""
    link = zipfile.ZipInfo("way")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(link, str(place.outside))
    archive.writestr("way/evil.txt", "x")


def _overwriting(archive: zipfile.ZipFile, place: Place) -> None:
    archive.writestr("a", "x")
    archive.writestr("a/../../../../../outside/precious.txt", "x")


def _huge(archive: zipfile.ZipFile, place: Place) -> None:
    """Five members that share 1 MB and state 4 GB each."""
    for number in range(5):
        archive.writestr(f"DIV2K_valid_HR/080{number}.png", b"x")
        archive.infolist()[-1].file_size = 2**32 - 2


INPUTS: dict[str, Callable[[zipfile.ZipFile, Place], None]] = {
    "climbs": _climbing, "absolute": _absolute, "backslashes": _backslashes, "link": _link,
    "overwrites": _overwriting, "huge": _huge,
}  # fmt: skip


def _made(make: Callable[[zipfile.ZipFile, Place], None], known: bool, place: Place) -> Sequence[object]:
    """The archive lies where it is downloaded to; if `known`, its own checksum is the registered one."""
    file = place.inside / "cache" / "archives" / NAME
    file.parent.mkdir(parents=True)
    with zipfile.ZipFile(file, "w") as archive:
        make(archive, place)
    if known:
        rows = registry._FILE.read_text(encoding="utf-8").splitlines()
        digest = hashlib.md5(file.read_bytes()).hexdigest()
        changed = [f"{row.rpartition(':')[0]}:{digest}" if NAME in row else row for row in rows]
        (place.inside / "registry.csv").write_text("\n".join(changed) + "\n", encoding="utf-8")
    return ["evaluate", "bicubic", "--data", "DIV2K-valid", "--scale", 2]


def _two_sizes(place: Place) -> Sequence[object]:
    """The directory states one byte for a member of 300 MB."""
    words = _made(lambda archive, _: archive.writestr("a.png", bytes(300 << 20)), False, place)
    file = place.inside / "cache" / "archives" / NAME
    content = file.read_bytes().replace(struct.pack("<II", 300 << 20, 300 << 20), struct.pack("<II", 300 << 20, 1))
    file.write_bytes(content)
    return words


def attempts() -> Iterator[Attempt]:
    says = "DIV2K_valid_HR"
    for name, make in INPUTS.items():
        yield Attempt("archives", name, partial(_made, make, True), says)
    yield Attempt("archives", "another checksum", partial(_made, _climbing, False), "damaged or another version")
    yield Attempt("archives", "two sizes", _two_sizes, says)
