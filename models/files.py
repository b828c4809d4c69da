"""Networks from a user's file, named by its path and a class: `path/net.py:Net`.

The class is called with `scale` and the keywords of the configuration. It takes RGB in [0, 1] and gives RGB, as every
network here; what range or mean it works with inside is its own affair. The module may have a dictionary `INFO` with
any of the fields of `INFO_FIELDS`. The file is the user's code and runs as such: it is imported because it was named.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from foundation import nearest, network_in_file, one_line
from models.info import ModelInfo, same_names

INFO_FIELDS = (
    "title", "paper", "venue", "year", "repository", "licence", "training", "published_parameters", "smallest_input",
    "scales",
)  # fmt: skip
LARGEST = 256  # LR pixels: no network needs more


def is_file(name: str) -> bool:
    """Whether a network's name is that of a class in a file."""
    return network_in_file(name) is not None


def describe(name: str) -> ModelInfo:
    """The descriptor of a network in a file. Raises ValueError for what cannot be imported, or is no network."""
    path, cls = _parts(name)
    return _described(str(path), cls, _modified(path))


def configuration(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of the class with their values: its defaults, where they can be written as JSON, and `config`.

    Raises ValueError for a keyword that the class does not have, and for one without a value.
    """
    known, anything = _keywords(_class(name))
    for key in config:
        if key not in known and not anything:
            raise ValueError(f"{name} has no configuration {key!r}; {nearest(key, known) if known else 'it has none'}")
    missing = [key for key, value in known.items() if value is inspect.Parameter.empty and key not in config]
    if missing:
        raise ValueError(f"{name}: needs the configuration {', '.join(missing)}, which has no default")
    defaults = {key: value for key, value in known.items() if isinstance(value, str | int | float | bool | None)}
    return {**defaults, **config}


def code(name: str) -> str:
    """SHA-256 over the file and the files beside it that it imports, which decide what the network computes."""
    path, _ = _parts(name)
    return _imported(str(path), _modified(path))[1]


def _build(name: str, scale: int, config: Mapping[str, Any]) -> nn.Module:
    try:
        model = _class(name)(scale=scale, **config)
    except Exception as error:  # of the user's code, whatever it is
        raise ValueError(f"{name}: cannot be built at x{scale} ({type(error).__name__}: {one_line(error)})") from error
    assert isinstance(model, nn.Module)
    return model


def _parts(name: str) -> tuple[Path, str]:
    found = network_in_file(name)
    assert found
    path, cls = found
    if not path.is_file():
        raise ValueError(f"{path}: no such file, expected a network as path/net.py:Class")
    return path.resolve(), cls


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns


def _class(name: str) -> type[nn.Module]:
    path, cls = _parts(name)
    module, _ = _imported(str(path), _modified(path))
    found = getattr(module, cls, None)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        classes = [
            key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, nn.Module)
        ]
        raise ValueError(f"{path}: no torch.nn.Module called {cls!r}; {nearest(cls, classes)}")
    return found


@cache
def _imported(path: str, modified: int) -> tuple[ModuleType, str]:
    """The module, and the SHA-256 of all that was read for it from its folder."""
    file = Path(path)
    spec = importlib.util.spec_from_file_location(f"user_network_{file.stem}_{modified}", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    before = set(sys.modules)
    sys.modules[spec.name] = module  # dataclasses and pickle look a class's module up by its name
    try:
        with _beside(file.parent):
            spec.loader.exec_module(module)
        beside = [
            name for name in sys.modules.keys() - before - {spec.name} if _lies_in(file.parent, sys.modules[name])
        ]
    except Exception as error:
        del sys.modules[spec.name]
        raise ValueError(f"{path}: cannot be imported ({type(error).__name__}: {one_line(error)})") from error
    read = {file}
    for name in beside:  # another file may import another module of that name from its own folder
        read.add(Path(str(sys.modules.pop(name).__file__)).resolve())
    total = hashlib.sha256()
    for one in sorted(read):
        total.update(f"{one.relative_to(file.parent).as_posix()}\0".encode())
        total.update(one.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return module, total.hexdigest()


def _lies_in(folder: Path, module: ModuleType) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and Path(str(file)).resolve().is_relative_to(folder)


@contextmanager
def _beside(folder: Path) -> Iterator[None]:
    """A context in which a file finds those beside it, as a script does."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _keywords(cls: type[nn.Module]) -> tuple[dict[str, Any], bool]:
    """The keywords of a class but for `scale`, with their defaults; and whether it takes any others."""
    parameters = inspect.signature(cls).parameters
    found = {
        key: one.default
        for key, one in parameters.items()
        if key != "scale" and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
    }
    return found, any(one.kind is one.VAR_KEYWORD for one in parameters.values())


@cache
def _described(path: str, cls: str, modified: int) -> ModelInfo:
    name = f"{path}:{cls}"
    told = getattr(_imported(path, modified)[0], "INFO", {})
    if not isinstance(told, Mapping):
        raise ValueError(f"{path}: INFO is a {type(told).__name__}, expected a dictionary")
    for key in told:
        if key not in INFO_FIELDS:
            raise ValueError(f"{path}: INFO has no field {key!r}; {nearest(str(key), INFO_FIELDS)}")
    _class(name)
    info = {
        "title": cls, "paper": "", "venue": "", "year": 0, "repository": "", "licence": "", "training": "",
        "published_parameters": {}, "scales": (2, 3, 4), **told,
    }  # fmt: skip
    info["scales"] = tuple(info["scales"])
    if "smallest_input" not in info:
        info["smallest_input"] = _smallest_input(partial(_build, name, info["scales"][-1]), name)
    return ModelInfo(
        name=name,
        network=partial(_build, name),
        published_names=same_names,
        counted_parameters={},
        **info,
    )


def _smallest_input(build: Any, name: str) -> int:
    """The least edge of an image that the network takes, by trial; every larger one is assumed to fit."""
    with torch.random.fork_rng(devices=[]):
        model = build(configuration(name, {})).eval()

    @torch.inference_mode()
    def takes(edge: int) -> bool:
        try:
            return bool(model(torch.zeros(1, 3, edge, edge)).shape[0] == 1)
        except Exception:  # of the user's code: too small an image may fail in any way
            return False

    good = next((edge for edge in (1, 2, 4, 8, 16, 32, 64, 128, LARGEST) if takes(edge)), None)
    if good is None:
        raise ValueError(f"{name}: takes no image of up to {LARGEST}x{LARGEST} pixels, expected (N, 3, H, W)")
    bad = good // 2
    while good - bad > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if takes(middle) else (good, middle)
    return good
