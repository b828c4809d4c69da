"""The libraries of kernels: compiled for a set of widths, kept in the cache folder, checked, and loaded."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from foundation import cache_folder, is_sealed, sealed
from foundation.signals import STOP
from models.spin.cpu import signatures
from models.spin.cpu.kernels import Kernels
from models.spin.cpu.widths import PUBLISHED, Widths

_HERE = Path(__file__).parent
_FLAGS = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fPIC"]
_TIMEOUT_S = 300
_off = ContextVar("off", default=False)
_watched: ContextVar[list[Widths] | None] = ContextVar("watched", default=None)
_asked: dict[Widths, Kernels | None] = {}  # the kernels that this process has asked for, None where it has none


def ready(*tensors: Tensor) -> bool:
    """Whether kernels take tensors of this device and type here. Nothing is compiled."""
    if any(part.device.type != "cpu" or part.dtype != torch.float32 for part in tensors):
        return False
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    return not _off.get()


@contextmanager
def off() -> Iterator[None]:
    """A context in which PyTorch computes everything, as on a machine without a compiler."""
    before = _off.set(True)
    try:
        yield
    finally:
        _off.reset(before)


@contextmanager
def watched() -> Iterator[list[Widths]]:
    """A context that gives the widths of the kernels used in it, one for each use; none if PyTorch does everything."""
    served: list[Widths] = []
    before = _watched.set(served)
    try:
        yield served
    finally:
        _watched.reset(before)


def kernels(widths: Widths = PUBLISHED) -> Kernels | None:
    """The kernels for these widths, compiled if necessary.

    None for widths that they do not serve, where they are switched off and, with a warning, where they cannot be
    compiled or loaded.
    """
    if widths not in _asked:
        _asked[widths] = None if widths.unserved or _switched_off() else _loaded(widths)
    found, watched = _asked[widths], _watched.get()
    if found is not None and watched is not None:
        watched.append(widths)
    return found


def loaded() -> Kernels | None:
    """Kernels of any widths that this process has already loaded, or None."""
    return next((found for found in _asked.values() if found), None)


def used() -> str | None:
    """The compiler of the kernels that this process computes with, "none" where it must do without them.

    Widths that kernels do not serve are named: "none for 36 channels". None as long as no kernels have been asked for:
    on a GPU, or in a network that has none.
    """
    served = [found for widths, found in _asked.items() if not widths.unserved]
    if _asked and _switched_off():
        return "none"
    parts = [compiler() if all(served) else "none"] if served else []
    parts += sorted({f"none for {widths.unserved}" for widths in _asked if widths.unserved})
    return "; ".join(parts) or None


def compiler() -> str:
    """Name and version of the compiler that the kernels would have here, or "none". Nothing is compiled."""
    if _switched_off():
        return "none"
    try:
        return _version(_command()).splitlines()[0]
    except (OSError, subprocess.SubprocessError, IndexError):
        return "none"


def here(recorded: str) -> str:
    """What `used` would return here for work of which it returned `recorded` elsewhere. Nothing is compiled.

    Only the compiler may differ: widths that are not served are not served by any.
    """
    parts = recorded.split("; ")
    unserved = [part for part in parts if part.startswith("none for ")]
    return "; ".join(unserved if unserved == parts else [compiler(), *unserved])


def _switched_off() -> bool:
    return os.environ.get("SPINBENCH_NATIVE") == "0"


def _loaded(widths: Widths) -> Kernels | None:
    try:
        library = ctypes.CDLL(str(_compiled(widths)))
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", None) or str(error)).strip()[:1000]
        warnings.warn(f"SPIN runs without its kernels for a CPU, more slowly: {reason}", stacklevel=3)
        return None
    signatures.declare(library)
    return Kernels(library, widths)


def _command() -> str:
    name = os.environ.get("CXX", "c++")
    if (found := shutil.which(name)) is None:
        raise FileNotFoundError(f"no C++ compiler {name!r}")
    return found


@cache
def _version(command: str) -> str:
    return _run([command, "--version"], 60)


def _compiled(widths: Widths) -> Path:
    """The path of the library, compiled unless that was done before, by this compiler and for this CPU.

    It is sealed, since loading a truncated library ends the process, and lies where no other user can write, since
    loading a library executes it. Raises OSError and SubprocessError.
    """
    command = _command()
    sources = sorted(_HERE.glob("*.cpp"))
    texts = [source.read_text("utf-8") for source in [*sources, *sorted(_HERE.glob("*.h"))]]
    flags = [*_FLAGS, *widths.definitions()]
    about = "\0".join([_version(command), *flags, _cpu(), *texts])
    folder = cache_folder() / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _own(folder) / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.so"
    if path.exists():
        if is_sealed(_own(path)):
            return path
        warnings.warn(f"{path}: damaged, so the kernels are compiled again", stacklevel=4)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # Compiled for OpenMP but not linked to it: PyTorch brings its functions and threads. With -z now a missing
        # function is an error of loading instead of an error of the first call.
        objects = [f"{scratch}/{source.stem}.o" for source in sources]
        for source, output in zip(sources, objects, strict=True):
            _run([command, *flags, "-fopenmp", "-c", str(source), "-o", output])
        made = Path(scratch, "library.so")
        _run([command, "-shared", "-Wl,-z,now", *objects, "-o", str(made)])
        made.write_bytes(sealed(made.read_bytes()))
        made.chmod(0o600)
        made.replace(path)  # atomic beside other processes; one that has loaded the old file keeps it
    return path


def _own(path: Path) -> Path:
    """The path, if this user owns it and no other user can write there. Raises PermissionError."""
    status = path.stat()
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user; remove it, or set SPINBENCH_DATA to a folder of yours")
    if status.st_mode & 0o022:
        raise PermissionError(f"{path} can be written by other users; remove it, or chmod go-w")
    return path


def _run(command: list[str], timeout: float = _TIMEOUT_S) -> str:
    """What a command prints. Raises OSError, SubprocessError, and KeyboardInterrupt if a signal to end reached it.

    Ctrl-C reaches the compiler too, while a training only notes it; without kernels it would go on with other bits.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=timeout).stdout
    except subprocess.CalledProcessError as error:
        if -error.returncode in STOP or error.returncode - 128 in STOP:  # the latter from a shell around the compiler
            raise KeyboardInterrupt(
                "the compilation of the kernels was interrupted; the same command goes on"
            ) from error
        raise


def _cpu() -> str:
    """The properties that -march=native depends on: machines that differ in them may share a home folder."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8", "replace").partition("\n\n")[0].splitlines() if cpuinfo.is_file() else []
    return "\n".join([platform.machine(), *(line for line in lines if line.startswith(("model name", "flags")))])
