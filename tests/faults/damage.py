"""Damage to stored files: what a failing disk, an interrupted copy, an editor or another program may leave."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import safetensors.torch
import torch
import yaml

Change = Callable[[bytes], bytes | None]  # None: the file is removed


def of(file: str, seed: int) -> dict[str, Change]:
    """The ways in which a file of this name is damaged: of any kind of file, and of its own."""
    return {**_general(seed), **_OWN.get(file.partition("/")[0], {})}


def _general(seed: int) -> dict[str, Change]:
    places = [random.Random(seed + number).random() for number in range(2)]
    flips: dict[str, Change] = {f"bit flipped at {at:.0%}": lambda old, at=at: _flipped(old, at) for at in places}
    return {
        **flips,
        "cut in half": lambda old: old[: len(old) // 2],
        "last byte cut": lambda old: old[:-1],
        "empty": lambda old: b"",
        "zeros": lambda old: bytes(len(old)),
        "removed": lambda old: None,
    }


def _flipped(old: bytes, at: float) -> bytes:
    new = bytearray(old)
    new[int(at * len(old))] ^= 1 << int(8 * at * len(old)) % 8
    return bytes(new)


def _json(change: Callable[[Any], Any]) -> Change:
    return lambda old: json.dumps(change(json.loads(old)), indent=1).encode()


def _yaml(change: Callable[[Any], Any]) -> Change:
    return lambda old: yaml.safe_dump(change(yaml.safe_load(old)), sort_keys=False).encode()


def _text(pattern: str, replacement: str) -> Change:
    def change(old: bytes) -> bytes:
        new, count = re.subn(pattern, replacement, old.decode(), count=1, flags=re.MULTILINE)
        assert count, f"{pattern} is not in {old[:200]!r}"
        return new.encode()

    return change


def _with(keys: str, value: Any) -> Callable[[Any], Any]:
    """Set what lies under keys with dots, or remove it if the value is `...`."""

    def change(content: Any) -> Any:
        *parents, last = keys.split(".")
        place = content
        for parent in parents:
            place = place[parent]
        assert last in place, keys
        if value is ...:
            del place[last]
        else:
            place[last] = value
        return content

    return change


def _everywhere(content: Any, key: str, value: Any) -> Any:
    """Set a key wherever it is."""
    if isinstance(content, dict):
        return {name: value if name == key else _everywhere(each, key, value) for name, each in content.items()}
    return content


def _tensors(change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Change:
    def changed(old: bytes) -> bytes:
        header = json.loads(old[8 : 8 + int.from_bytes(old[:8], "little")])
        return safetensors.torch.save(change(safetensors.torch.load(old)), header.get("__metadata__"))

    return changed


def _torch(content: Any) -> Change:
    def changed(old: bytes) -> bytes:
        buffer = io.BytesIO()
        torch.save(content, buffer)
        return buffer.getvalue()

    return changed


_ROW = r"^(folder:first,.*,)([-\d.]+),([-\d.]+)$"  # of an image: its PSNR and SSIM
_QUALITY: Mapping[str, Change] = {
    "PSNR 98.46": _text(_ROW, r"\g<1>98.46,\3"),
    "PSNR a digit off": _text(r"^(folder:first,.*,\d)\d", r"\g<1>9"),
    "PSNR negative": _text(_ROW, r"\g<1>-3.5,\3"),
    "SSIM above 1": _text(_ROW, r"\1\2,1.5"),
    "PSNR missing": _text(_ROW, r"\1,\3"),
    "PSNR in words": _text(_ROW, r"\1high,\3"),
    "an image missing": _text(r"^folder:first,.*\n", ""),
    "an image twice": _text(r"^(folder:first,.*\n)", r"\1\1"),
    "a column missing": lambda old: re.sub(rb"(?m),[^,\n]*$", b"", old),
    "another table": lambda old: b"a,b\n1,2\n",
}
_OWN: Mapping[str, Mapping[str, Change]] = {
    "run.yaml": {
        "a list": lambda old: b"- 1\n",
        "no stages": _yaml(_with("stages", ...)),
        "another network": _yaml(lambda content: _everywhere(content, "blocks", 2)),
        "another scale": _yaml(lambda content: _everywhere(content, "scale", 2)),
        "stages in words": _yaml(_with("stages", "all")),
    },
    "provenance.json": {
        "a list": lambda old: b"[]",
        "an empty mapping": lambda old: b"{}",
        "null": lambda old: b"null",
        "a stage without its record": _json(_with("train", {})),
        "a stage in words": _json(_with("evaluate", "done")),
        "no stage of training": _json(_with("train", ...)),
        "other times": _json(lambda content: _everywhere(content, "seconds", 987.65)),
    },
    "training.csv": {
        "a column missing": _text(r"^iteration,", "n,"),
        "header only": lambda old: old.splitlines(keepends=True)[0],
        "loss in words": _text(r"^1,[\d.]+", "1,low"),
        "another loss": _text(r"^1,[\d.]+", "1,0.5"),
    },
    "quality.csv": _QUALITY,
    "measured": _QUALITY,
    "cost.json": {
        "a list": lambda old: b"[1]",
        "a number": lambda old: b"7",
        "other parameters": _json(_with("parameters", 987654321)),
        "parameters in words": _json(_with("parameters", "many")),
        "no parameters": _json(_with("parameters", ...)),
        "latency negative": _json(_with("latency.median_s", -1.0)),
        "other latency": _json(_with("latency.median_s", 98765.25)),
        "MACs a list": _json(_with("macs", [])),
    },
    "weights.safetensors": {
        "other values": _tensors(lambda tensors: {name: 2 * each for name, each in tensors.items()}),
        "not a number": _tensors(lambda tensors: {name: each * float("nan") for name, each in tensors.items()}),
        "another shape": _tensors(lambda tensors: {name: each[..., None] for name, each in tensors.items()}),
        "other names": _tensors(lambda tensors: {f"x.{name}": each for name, each in tensors.items()}),
        "no tensors": _tensors(lambda tensors: {}),
    },
    "checkpoint.pt": {
        "a list": _torch([1, 2]),
        "an empty mapping": _torch({}),
        "a fingerprint only": _torch({"fingerprint": "f" * 64}),
    },
}
FILES = tuple(_OWN)  # of a run
