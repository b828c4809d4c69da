"""Reading published checkpoints: tensors only, nothing in a file is ever executed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from foundation import SpinbenchError, one_line

ENTRY = "spin-bench"  # key in the metadata of our own weights: their origin, as JSON
# Keys under which published checkpoints keep the parameters.
_WRAPPERS = ("model_state_dict", "state_dict", "params_ema", "params")


class WeightsError(SpinbenchError):
    """Weights that cannot be used; the message names the file and what differs."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint (.safetensors, or PyTorch's own format) by their published names, on the CPU.

    Unwraps the usual containers and the `module.` prefix of DataParallel. Raises WeightsError for a
    file that is missing, damaged, or holds anything but tensors and plain containers.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            content: Any = safetensors.torch.load_file(path)
            _check_tensors(path, content)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except WeightsError:
        raise
    except Exception as error:  # a damaged file makes the readers raise anything: struct.error, KeyError, ...
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(f"{path}: not a readable checkpoint ({first})") from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise WeightsError(f"{path}: expected a mapping of names to tensors")
    return {str(name).removeprefix("module."): tensor for name, tensor in content.items()}


def metadata(path: str | Path) -> dict[str, str]:
    """The metadata of a .safetensors file; {} for other files, which are not read. Raises WeightsError if damaged."""
    if Path(path).suffix != ".safetensors":
        return {}
    try:
        with safetensors.safe_open(path, "pt") as content:
            return dict(content.metadata() or {})
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({one_line(error)})") from error


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, types, shapes and values of tensors on the CPU; their order does not matter."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        total.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _check_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Compare the tensors of this suite's weights with the digest that their file states, to find damaged ones."""
    try:
        told = json.loads(metadata(path).get(ENTRY, "{}"))
    except ValueError:
        told = {"tensors": "unreadable"}
    if isinstance(told, dict) and "tensors" in told and told["tensors"] != tensors_digest(tensors):
        raise WeightsError(f"{path}: damaged: its tensors do not have the SHA-256 that it states")


def with_published_names(
    model: nn.Module,
    names: Mapping[str, str],
    state: Mapping[str, Any],
    label: str,
    rebuilt: Sequence[str] = (),
) -> dict[str, Tensor]:
    """A state dict for `model` from values under published names; `names` maps ours to the published ones.

    A 1x1 convolution's weight fits a linear layer. Buffers that the state lacks keep their values, and names that
    match one of the regular expressions `rebuilt` are left alone. Raises WeightsError listing names that are
    missing, unexpected or of another shape.
    """
    own = model.state_dict()
    buffers = {name for name, _ in model.named_buffers()}
    names = {name: published for name, published in names.items() if name not in buffers or published in state}
    missing = [published for published in names.values() if published not in state]
    unexpected = sorted(
        name for name in set(state) - set(names.values()) if not any(re.fullmatch(rule, name) for rule in rebuilt)
    )
    if missing or unexpected:
        raise WeightsError(
            f"{label} does not fit {type(model).__name__}: "
            f"{_listed('missing', missing)}; {_listed('unexpected', unexpected)}"
        )
    wrong = []
    for name, published in names.items():
        value = torch.as_tensor(np.asarray(state[published]))
        shape = own[name].shape
        if _without_trailing_ones(value.shape) != _without_trailing_ones(shape):
            wrong.append(f"{published} is {tuple(value.shape)} instead of {tuple(shape)}")
        else:
            own[name] = value.reshape(shape)
    if wrong:
        raise WeightsError(f"{label} does not fit {type(model).__name__}: {_listed('shapes', wrong)}")
    return own


def under_published_names(
    model: nn.Module, names: Mapping[str, str], convolutions: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Copies of a model's values on the CPU; `names` maps ours to the published ones.

    Matrices whose published names match one of the regular expressions `convolutions` become 1x1 convolutions.
    """
    own, state = model.state_dict(), {}
    for name, published in names.items():
        value = own[name].cpu().clone(memory_format=torch.contiguous_format)
        convolution = any(re.fullmatch(rule, published) for rule in convolutions)
        state[published] = value[..., None, None] if convolution else value
    return state


def _without_trailing_ones(shape: torch.Size) -> tuple[int, ...]:
    dims = list(shape)
    while dims and dims[-1] == 1:
        dims.pop()
    return tuple(dims)


def _listed(what: str, names: list[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")
    return f"{len(names)} {what}" + (f" ({shown})" if names else "")
