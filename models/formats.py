"""The formats of checkpoint files, told by their content and not by their suffix.

Nothing in a file is ever executed.
"""

from __future__ import annotations

import _compat_pickle
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError

from foundation import SpinbenchError, one_line

_HEAD = 2**16  # bytes that tell what a file is
_LEGACY_PICKLES = 4  # magic number, version, system, content: PyTorch's format before 1.6
# What PyTorch reads itself: it takes its own for these, whatever stands for them here.
_ALLOWED = ("collections.OrderedDict", "collections.Counter")
_ALLOWED_MODULES = (
    "torch", "torch._utils", "torch._tensor", "torch.storage", "torch.nn.parameter", "torch.serialization", "_codecs",
)  # fmt: skip
_SAVE = "save its tensors with torch.save(model.state_dict(), FILE)"
# What people have in place of a checkpoint: how its bytes begin, what it is, and the way out.
_OTHERS = (
    (rb"version https://git-lfs", "a Git LFS pointer, not the file it stands for; run `git lfs pull`, or download it"),
    (rb"(?i)\s*(<!doctype html|<html|<head|<\?xml)", "a web page; download the checkpoint itself, maybe by a browser"),
    (rb"\s*[{\[]", "JSON text, expected a checkpoint"),
    (rb"\x89HDF", f"an HDF5 file, expected one of PyTorch; {_SAVE}"),
    (rb"\x93NUMPY", f"a NumPy array, expected a checkpoint of PyTorch; {_SAVE}"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar", "an archive; unpack it and name the checkpoint in it"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|BM....\0\0\0\0", "an image, expected a checkpoint"),
)


class WeightsError(SpinbenchError):
    """Weights that cannot be used; the message names the file and what differs."""


class Content(NamedTuple):
    """What a file holds, with its tensors on the CPU, and the names of the classes whose objects were left unread."""

    value: Any
    unread: list[str]


class _Unread:
    """Stands for an object of a class that is neither imported nor called: keeps nothing of it."""

    def __new__(cls, *args: Any) -> _Unread:
        return super().__new__(cls)

    def __init__(self, *args: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def read_content(path: Path) -> Content:
    """The content of a .safetensors file or of a file of torch.save, by whatever name.

    Objects other than tensors, numbers, text and plain containers are left unread. Raises WeightsError for a file that
    is missing, damaged (a zip archive by its checksums), or something else, which is named with the way out.
    """
    head = _head(path)
    try:
        if _is_safetensors(path, head):
            return Content(safetensors.torch.load_file(path), [])
        if head.startswith(b"PK\3\4"):
            _check_archive(path)
        return _load(path)
    except WeightsError:
        raise
    except Exception as error:  # a damaged file makes the readers raise anything: struct.error, KeyError, ...
        raise WeightsError(f"{path}: not a readable checkpoint ({_reason(error)})") from error


def metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a file in the format .safetensors; {} for all others. Raises WeightsError if it is damaged."""
    path = Path(path)
    if not path.is_file():
        return {}
    with path.open("rb") as file:
        if not _is_safetensors(path, file.read(_HEAD)):
            return {}
    try:
        with safetensors.safe_open(path, "pt") as content:
            return dict(content.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({one_line(error)})") from error


def _head(path: Path) -> bytes:
    """The first bytes of a file. Raises WeightsError for what is no file or, by these bytes, no checkpoint."""
    if path.is_dir():
        raise WeightsError(f"{path}: a folder, expected a checkpoint file")
    if not path.is_file():
        raise WeightsError(f"{path}: {'not a regular' if path.exists() else 'no such'} file")
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror})") from error
    if not head:
        raise WeightsError(f"{path}: is empty, expected a checkpoint")
    # the length of a header of safetensors may look like the beginning of anything
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return head
    for beginning, what in _OTHERS:
        if re.match(beginning, head, re.DOTALL):
            raise WeightsError(f"{path}: {what}")
    return head


def _is_safetensors(path: Path, head: bytes) -> bool:
    """Whether the file has a header of that format, or its suffix and the header of no other."""
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length < 2**27:
        return True
    return path.suffix == ".safetensors" and not head.startswith((b"PK\3\4", b"\x80\2"))


def _check_archive(path: Path) -> None:
    """Raise WeightsError for an archive that torch.save has not written, or not so: torch.load would not find out."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            raise WeightsError(
                f"{path}: a TorchScript program; {_SAVE}, where model = torch.jit.load({path.name!r}) in a script of "
                "yours, if you trust the file"
            )
        if names and all(name.endswith(".npy") for name in names):
            raise WeightsError(f"{path}: a NumPy archive (.npz), expected a checkpoint of PyTorch; {_SAVE}")
        if not any(name.endswith("data.pkl") for name in names):
            inner = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            raise WeightsError(f"{path}: an archive ({inner}); unpack it and name the checkpoint in it")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise WeightsError(f"{path}: its tensors are compressed, expected a file as torch.save writes it")
        if damaged := archive.testzip():
            raise WeightsError(f"{path}: damaged: the checksum of {damaged} in it is wrong")


def _load(path: Path) -> Content:
    """What torch.load gives of tensors and plain containers; objects of other classes are left unread."""
    try:
        return Content(_torch_load(path), [])
    except pickle.UnpicklingError as error:  # most often for a class that is not allowed
        try:
            unknown = _classes(path)
        except ValueError:  # no pickle at all
            unknown = []
        if not unknown:
            raise WeightsError(f"{path}: not a readable checkpoint ({_reason(error)})") from error
    try:
        with torch.serialization.safe_globals([(_stand_in(name), name) for name in unknown]):
            value = _torch_load(path)
    except pickle.UnpicklingError as error:
        raise WeightsError(f"{path}: {_described(unknown)}; {_SAVE} where it was trained") from error
    if not _holds_tensors(value):
        raise WeightsError(f"{path}: {_described(unknown)}; {_SAVE} where it was trained")
    return Content(value, unknown)


def _torch_load(path: Path) -> Any:
    with warnings.catch_warnings(), path.open("rb") as file:  # by its path, torch.load would look at the suffix
        warnings.simplefilter("ignore")  # of the protocol of a pickle
        return torch.load(file, map_location="cpu", weights_only=True)


def _stand_in(name: str) -> Any:
    """What is called in place of a class or function: never the named one."""
    return (lambda *args: {}) if name == "collections.defaultdict" else _Unread


def _classes(path: Path) -> list[str]:
    """The classes and functions that a file names and PyTorch does not allow, in the file's order."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            (member,) = (one for one in archive.namelist() if one.endswith("data.pkl"))
            with archive.open(member) as file:
                found = list(_named(file, pickles=1))
    else:
        with path.open("rb") as file:
            found = list(_named(file, pickles=_LEGACY_PICKLES))
    return [
        name
        for name in dict.fromkeys(found)
        if name not in _ALLOWED and name.rpartition(".")[0] not in _ALLOWED_MODULES
    ]


def _named(file: IO[bytes], pickles: int) -> Iterator[str]:
    """The names that the first pickles of a file refer to, as Python 3 spells them."""
    for _ in range(pickles):
        for operation, argument, _ in pickletools.genops(file):
            if operation.name == "GLOBAL":
                module, name = str(argument).split(" ", 1)
                if (module, name) in _compat_pickle.NAME_MAPPING:
                    module, name = _compat_pickle.NAME_MAPPING[module, name]
                else:
                    module = _compat_pickle.IMPORT_MAPPING.get(module, module)
                yield f"{module}.{name}"


def _described(classes: list[str]) -> str:
    """What a file is that names these classes."""
    own = [name for name in classes if not name.startswith(("torch.", "numpy.", "builtins."))] or classes
    if any(name.startswith("torch.nn.modules.") for name in classes):
        return f"a whole module was pickled ({own[0]}), which only running its code could read"
    return f"holds objects that only running code could read ({', '.join(own[:3])}{', ...' if len(own) > 3 else ''})"


def _reason(error: Exception) -> str:
    """Why a file cannot be read: the first line of an error, never PyTorch's advice to run what is in the file."""
    if isinstance(error, pickle.UnpicklingError):
        return "no file of torch.save"
    return one_line(Exception((str(error).strip().splitlines() or [type(error).__name__])[0]))


def _holds_tensors(value: Any) -> bool:
    """Whether there is a tensor in nested dictionaries."""
    values, seen = [value], set()
    for one in values:
        if isinstance(one, torch.Tensor):
            return True
        if isinstance(one, dict) and id(one) not in seen:
            seen.add(id(one))
            values += one.values()
    return False
