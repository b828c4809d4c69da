"""Weights that would run code, or fill the memory, through every command that takes weights."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import models
from tests.hostile.launcher import Place
from tests.hostile.tally import Attempt, images

PROTOCOL = Path(__file__).parents[1] / "tiny.yaml"


class _Payload:
    """Pickled, it is a call that makes the canary."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (f"open({str(self.canary)!r}, 'w').close()",)


class _Built(_Payload):
    """The same by the state of an object, which `__setstate__` or BUILD would take."""

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (_Payload(self.canary), "__class__")


def payload(place: Place) -> _Payload:
    return _Payload(place.canary)


def _state() -> dict[str, Any]:
    return dict(models.build("espcn", 2).state_dict())


def _plain(place: Place, file: Path) -> None:
    file.write_bytes(pickle.dumps(payload(place)))


def _beside_tensors(place: Place, file: Path) -> None:
    torch.save({"state_dict": _state(), "callback": payload(place)}, file)


def _as_key(place: Place, file: Path) -> None:
    torch.save({"model": _state(), "x": [_Built(place.canary)]}, file)


def _legacy(place: Place, file: Path) -> None:
    torch.save({"state_dict": _state(), "callback": payload(place)}, file, _use_new_zipfile_serialization=False)


def _os_system(place: Place, file: Path) -> None:
    """Opcodes by hand: posix.system and builtins.eval, in protocol 0."""
    command = f"touch {place.canary}"
    file.write_bytes(f"cposix\nsystem\n(S'{command}'\ntR.".encode())


def _inside_archive(place: Place, file: Path) -> None:
    """A zip as torch.save writes it, whose data.pkl is another pickle."""
    buffer = io.BytesIO()
    torch.save(_state(), buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(file, "w") as new:
        for member in old.infolist():
            evil = member.filename.endswith("data.pkl")
            new.writestr(member.filename, pickle.dumps(payload(place)) if evil else old.read(member))


def _two_pickles(place: Place, file: Path) -> None:
    """Two members that end in data.pkl: the one that is looked at need not be the one that is read."""
    _inside_archive(place, file)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("other/data.pkl", pickle.dumps({}))


def _torchscript(place: Place, file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("m/constants.pkl", pickle.dumps(payload(place)))
        archive.writestr("m/code/__torch__.py", f"open({str(place.canary)!r}, 'w')")


def _inflating(place: Place, file: Path) -> None:
    """2 GB of zeros in 2 MB."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        with archive.open("archive/data/0", "w", force_zip64=True) as member:
            for _ in range(2**7):
                member.write(bytes(2**24))


def _huge_shape(place: Place, file: Path) -> None:
    """A tensor of 2^40 numbers on a storage of one: strides of 0."""
    storage = torch.zeros(1)
    torch.save({name: storage.expand(2**20, 2**10, 2**10) for name in _state()}, file)


def _long_pickle(place: Place, file: Path) -> None:
    """A pickle that asks for a text of 4 GB, and one nested 100,000 deep."""
    file.write_bytes(b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".")


def _claimed_length(place: Place, file: Path) -> None:
    file.write_bytes(b"\x80\x04X" + struct.pack("<I", 2**32 - 1) + b"a.")


def _memo_bomb(place: Place, file: Path) -> None:
    """Lists of lists, each of which holds the last one ten times."""
    content: Any = {"a": torch.zeros(1)}
    for _ in range(40):
        content = {str(key): content for key in range(10)}
    torch.save(content, file)


def _safetensors_header(place: Place, file: Path) -> None:
    file.write_bytes(struct.pack("<Q", 2**63 - 1) + b'{"a":1}')


def _safetensors_offsets(place: Place, file: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 2**62]}}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)


def _executing() -> dict[str, Any]:
    return {
        "plain pickle": _plain,
        "beside tensors": _beside_tensors,
        "getattr": _as_key,
        "legacy format": _legacy,
        "opcodes": _os_system,
        "in an archive": _inside_archive,
        "two pickles": _two_pickles,
        "TorchScript": _torchscript,
    }


def _exhausting() -> dict[str, Any]:
    return {
        "2 GB inflating": _inflating,
        "strides of 0": _huge_shape,
        "nested": _long_pickle,
        "claimed length": _claimed_length,
        "shared containers": _memo_bomb,
        "header of safetensors": _safetensors_header,
        "offsets of safetensors": _safetensors_offsets,
    }


EXPERIMENT = """title: t
source: s
kind: table
caption: c
label: l
scales: [2]
datasets: [embedded-test]
reference: a
variants: {a: {label: A, model: espcn, weights: evil.pth}}
"""


def _commands(place: Place) -> dict[str, Sequence[object]]:
    """Every command that takes weights."""
    data = images(place.inside / "set")
    (place.inside / "mine.yaml").write_text(EXPERIMENT)
    warm = PROTOCOL.read_text().replace("training:\n", "training:\n  warm_start: evil.pth\n")
    (place.inside / "warm.yaml").write_text(warm)
    trained = EXPERIMENT.replace(", weights: evil.pth", "")
    (place.inside / "trained.yaml").write_text(trained)
    file, options = "evil.pth", ["--results", "results", "--threads", 1]
    return {
        "evaluate": ["evaluate", "espcn", "--weights", file, "--scale", 2, "--data", data],
        "upscale": ["upscale", data, "--model", "espcn", "--scale", 2, "--weights", file, "--output", "out"],
        "identify": ["identify", file],
        "export": ["export", "espcn", "--scale", 2, "--weights", file, "--onnx", "a.onnx"],
        "export-published": ["export-published", file, "a.pth", "--model", "espcn", "--scale", 2],
        "run": ["run", "mine.yaml", "--protocol", PROTOCOL, *options],
        "run --weights": ["run", "trained.yaml", "--protocol", PROTOCOL, "--weights", f"a={file}", *options],
        "train": ["train", "a", "--experiment", "trained.yaml", "--protocol", "warm.yaml", *options],
        "check": ["check", file, "--model", "espcn", "--scale", 2, "--data", data, "--results", "results"],
        "superpixels": ["picture", "superpixels", data / "a.png", "--weights", file, "--results", "results"],
        "attribution": [
            "picture", "attribution", data / "a.png", "--networks", f"espcn={file}", "--scale", 2, "--box", "1,1,8,8",
            "--results", "results",
        ],
    }  # fmt: skip


def _made(make: Any, command: str, place: Place) -> Sequence[object]:
    words = _commands(place)[command]
    make(place, place.inside / "evil.pth")
    return words


def attempts() -> Iterator[Attempt]:
    says = r"evil\.pth"
    for name, make in _executing().items():
        for command in ("evaluate", "identify"):
            yield Attempt("weights that run code", f"{name}, {command}", partial(_made, make, command), says)
    for command in _commands_but("evaluate", "identify"):
        for name in ("plain pickle", "beside tensors"):
            make = _executing()[name]
            made = partial(_made, make, command)
            yield Attempt("the same, other commands", f"{name}, {command}", made, "evil|a-x2-s0")
    for name, make in _exhausting().items():
        yield Attempt("weights that fill the memory", name, partial(_made, make, "evaluate"), says)


def _commands_but(*left_out: str) -> list[str]:
    every = [
        "upscale", "export", "export-published", "run", "run --weights", "train", "check", "superpixels", "attribution",
    ]  # fmt: skip
    return [name for name in every if name not in left_out]
