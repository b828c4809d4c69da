"""Checkpoints: the complete state of a training, from which it resumes to the same bits.

A checkpoint is a file of tensors and plain containers. Reading one executes no code.
"""

from __future__ import annotations

import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from foundation import SpinbenchError


class CheckpointError(SpinbenchError):
    """A checkpoint that cannot be used; the message names the file."""


def as_bytes(content: dict[str, Any]) -> bytes:
    """The bytes of a checkpoint file. `content` holds tensors, plain containers and a "fingerprint"."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the content of a checkpoint, with its tensors on the CPU, or None if the file does not exist.

    Raises CheckpointError for a damaged file, and for one with another fingerprint, which belongs to another training.
    The file is never changed.
    """
    if not path.is_file():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            if member := archive.testzip():  # torch.load does not verify checksums
                raise zipfile.BadZipFile(f"the checksum of {member} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = content["fingerprint"]
        if not isinstance(found, str):
            raise TypeError("its fingerprint is not a string")
    except Exception as error:  # the readers raise many types of errors for a damaged file
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CheckpointError(
            f"{path}: damaged checkpoint ({reason}); move it away to train from the beginning"
        ) from error
    if found != fingerprint:
        raise CheckpointError(
            f"{path}: belongs to a training under other settings (fingerprint {found[:8]}, expected "
            f"{fingerprint[:8]}); move it away to train from the beginning"
        )
    return dict(content)


def seed_generators(seed: int) -> None:
    """Seed the global random generators of Python, NumPy and PyTorch; `seed` is below 2**32."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def generators(device: torch.device) -> dict[str, Any]:
    """Return the states of the global random generators, for a checkpoint."""
    numpy: Any = np.random.get_state()  # noqa: NPY002
    states = {
        "python": random.getstate(),
        "numpy": (numpy[0], torch.from_numpy(numpy[1].astype(np.int64)), *numpy[2:]),
        "torch": torch.get_rng_state(),
    }
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def set_generators(states: dict[str, Any], device: torch.device) -> None:
    """Restore the states of the global random generators that `generators` returned."""
    name, keys, *rest = states["numpy"]
    random.setstate(states["python"])
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
