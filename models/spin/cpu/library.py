"""The libraries of kernels: compiled for a set of widths, kept in the cache folder, checked, and loaded."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

import torch
from torch import Tensor

from foundation import SpinbenchError, is_sealed, one_line, own_folder, sealed
from models.spin.cpu import compilers, signatures
from models.spin.cpu.compilers import Compiler
from models.spin.cpu.kernels import Kernels
from models.spin.cpu.widths import PUBLISHED, Widths

_HERE = Path(__file__).parent
_FLAGS = ["-std=c++17", "-O3", "-march=native", "-ffp-contract=fast", "-fPIC"]
_CPUINFO = Path("/proc/cpuinfo")  # of Linux
# x86: model name, flags; ARM: Features and the CPU lines; POWER: cpu; RISC-V: isa, uarch; s390: features
_PROPERTIES = {
    "model name", "flags", "Features", "CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision",
    "cpu", "isa", "uarch", "features",
}  # fmt: skip
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
    made = [found.compiler for found in _asked.values() if found]
    return next(iter(made or (one.about for one in compilers.candidates() if one.refused is None)), "none")


def here(recorded: str) -> str:
    """What `used` would return here for work of which it returned `recorded` elsewhere. Nothing is compiled.

    Only the compiler may differ: widths that are not served are not served by any.
    """
    parts = recorded.split("; ")
    unserved = [part for part in parts if part.startswith("none for ")]
    about = [one.about for one in compilers.candidates() if one.refused is None]
    if not _switched_off() and not any(_asked.values()) and parts[0] in about:
        return recorded  # it may be that compiler, since the first one may fail
    return "; ".join(unserved if unserved == parts else [compiler(), *unserved])


def _switched_off() -> bool:
    return os.environ.get("SPINBENCH_NATIVE", "").strip().lower() in ("0", "false", "no", "off")


def _loaded(widths: Widths) -> Kernels | None:
    """The kernels of the first compiler that succeeds; a warning says what was wrong with the others."""
    wrong = []
    try:
        for one in compilers.candidates():
            try:
                library = _library(one, widths)
            except PermissionError:  # of the folder or a file in it, whoever compiles
                raise
            except (OSError, subprocess.SubprocessError, AttributeError) as error:
                wrong.append(f"{one.name}: {one_line(error)}")
                continue
            if wrong:
                warnings.warn(f"SPIN's kernels are compiled by {one.name}, not by {'; '.join(wrong)}", stacklevel=3)
            return Kernels(library, widths, one.about)
    except (OSError, SpinbenchError) as error:
        wrong.append(one_line(error))
    warnings.warn(f"SPIN runs without its kernels for a CPU, more slowly: {'; '.join(wrong)}", stacklevel=3)
    return None


def _library(compiler: Compiler, widths: Widths) -> ctypes.CDLL:
    """The library, compiled unless that was done before, by this compiler and for this CPU.

    It is sealed, since loading a truncated library ends the process, and lies where no other user can write, since
    loading a library executes it. Raises OSError, SubprocessError, and AttributeError for one that lacks functions.
    """
    compiler.check()
    sources = sorted(_HERE.glob("*.cpp"))
    texts = [source.read_text("utf-8") for source in [*sources, *sorted(_HERE.glob("*.h"))]]
    flags = [*_FLAGS, *widths.definitions()]
    about = "\0".join([compiler.version, *flags, _cpu(), *texts])
    folder = own_folder("kernels")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = _own(folder) / f"{hashlib.sha256(about.encode()).hexdigest()[:32]}.so"
    if path.exists():
        if is_sealed(_own(path)):
            return _checked(path)
        warnings.warn(f"{path}: damaged, so the kernels are compiled again", stacklevel=5)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        # Compiled for OpenMP but not linked to it: PyTorch brings its functions and threads. With -z now a missing
        # function is an error of loading instead of an error of the first call.
        objects = [f"{scratch}/{source.stem}.o" for source in sources]
        for source, output in zip(sources, objects, strict=True):
            compiler.run([*flags, "-fopenmp", "-c", str(source), "-o", output])
        made = Path(scratch, "library.so")
        compiler.run(["-shared", "-Wl,-z,now", *objects, "-o", str(made)])
        if not made.is_file():
            raise OSError("says that it has succeeded, but has written nothing")
        with made.open("r+b") as file:
            content = sealed(file.read())
            file.seek(0)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        made.chmod(0o600)
        library = _checked(made)  # before others can load it
        made.replace(path)  # atomic beside other processes; one that has loaded the old file keeps it
    return library


def _checked(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    signatures.declare(library)
    return library


def _own(path: Path) -> Path:
    """The path, if this user owns it and no other user can write there. Raises PermissionError."""
    status = path.stat()
    if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another user; remove it, or set SPINBENCH_DATA to a folder of yours")
    if status.st_mode & 0o022:
        raise PermissionError(f"{path} can be written by other users; remove it, or chmod go-w")
    return path


def _cpu() -> str:
    """The properties that -march=native depends on: machines that differ in them may share a home folder.

    All cores count, each property once: those of an ARM processor may differ.
    """
    lines = _CPUINFO.read_text("utf-8", "replace").splitlines() if _CPUINFO.is_file() else []
    told = (line for line in lines if line.partition(":")[0].strip() in _PROPERTIES)
    return "\n".join([platform.machine(), *dict.fromkeys(told)])
