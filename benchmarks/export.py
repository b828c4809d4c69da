"""A network as ONNX, for images of any height and width, and its comparison with PyTorch.

The graph takes `lr`, float32 (1, 3, H, W) in [0, 1], and gives `sr`, (1, 3, scale·H, scale·W), not clamped. It computes
the grids of superpixels and windows, which depend on the size. Self-ensemble, cropping and rounding to 8 bit are not
part of it.
"""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import models
from benchmarks.networks import Network
from foundation import SpinbenchError, one_line
from results import plain

OPSET = 20  # the first with GELU; onnxruntime 1.17 and newer
TOLERANCE = 1e-4  # largest difference from PyTorch, where white is 1
NEARLY = 1e-6  # a change of the input that no result may depend on; where one does, a selection is nearly a tie
IMAGES = 5  # tried before one is found that is far from ties
LARGEST = 2**14  # height and width, a bound that the exporter wants


class ExportError(SpinbenchError):
    """A network that cannot be exported, or whose ONNX gives other results than PyTorch."""


class Agreement(NamedTuple):
    """The largest difference between ONNX and PyTorch for a noise image of `lr_size` (H, W)."""

    lr_size: tuple[int, int]
    difference: float


def to_onnx(network: Network) -> tuple[bytes, list[Agreement]]:
    """A network as an ONNX file's content, and its agreement with PyTorch on images of two sizes.

    The file's metadata hold model, configuration, scale and the digest of the weights. Raises ExportError for a network
    that cannot be exported, for results that differ by more than TOLERANCE, and without the packages of the extra
    `onnx`; and the errors of `Network.module`.
    """
    module = network.module().eval()
    least = models.describe(network.model).smallest_input
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - which torch.onnx imports itself, with another error
    except ImportError as error:
        raise ExportError(f"{error.name}: not installed, expected the extra onnx of spin-bench") from error
    content = _exported(module, network, _noise(2 * least + 13, 2 * least + 27))
    with _quietly():
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    # The smallest image, which lacks some windows and cells, and another than the exported one. Both are small: the
    # more superpixels, the likelier it is that one of them has two pixels of nearly equal rank.
    sizes = (least, least + 1), (least + 13, least + 21)
    found = [_agreement(network.model, module, session, size) for size in sizes]
    return content, found


def _agreement(name: str, module: nn.Module, session: Any, size: tuple[int, int]) -> Agreement:
    """The agreement on the first noise image on which PyTorch is sure of its own result."""
    place = f"{size[0]}x{size[1]}"
    for seed in range(IMAGES):
        lr = _noise(*size, seed)
        try:
            (sr,) = session.run(None, {"lr": lr.numpy()})
        except Exception as error:  # onnxruntime has a class for each of its status codes, without a common base
            raise ExportError(f"{name}: its ONNX fails for {place} ({one_line(error)})") from error
        with torch.inference_mode():
            expected = module(lr)
            difference = _largest(torch.from_numpy(sr), expected)
            if difference <= TOLERANCE:
                return Agreement(size, difference)
            nearly = (lr + NEARLY * (2 * _noise(*size, IMAGES + draw) - 1) for draw in range(8))
            if all(_largest(module(other), expected) <= TOLERANCE for other in nearly):
                break
    raise ExportError(
        f"{name}: its ONNX differs from PyTorch by {difference:.1e} for {place}, expected at most {TOLERANCE:g}"
    )


def _largest(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).abs().max()) if found.shape == expected.shape else float("inf")


def _exported(module: nn.Module, network: Network, example: Tensor) -> bytes:
    shapes: Any = importlib.import_module("torch.fx.experimental._config")
    least = models.describe(network.model).smallest_input
    height, width = (torch.export.Dim(name, min=least, max=LARGEST) for name in ("height", "width"))
    try:
        # A length of 1, such as the rows of a grid in a small image, is then treated like any other length; and what
        # the exporter cannot prove for every size is no error, but verified by running.
        with _quietly(), shapes.patch(backed_size_oblivious=True):
            program = torch.export.export(
                module,
                (example,),
                dynamic_shapes=({2: height, 3: width},),
                strict=False,
                prefer_deferred_runtime_asserts_over_guards=True,
            )
            made = torch.onnx.export(
                program,
                dynamo=True,
                opset_version=OPSET,
                input_names=["lr"],
                output_names=["sr"],
                custom_translation_table={torch.ops.aten.sort.stable: _stable_sort},
                verbose=False,
            )
    except Exception as error:  # of the exporter, of any kind
        where = f"{network.model}: cannot be exported to ONNX for images of any size"
        raise ExportError(f"{where} ({_reason(error)})") from error
    assert made is not None
    made.model.metadata_props.update(_metadata(network))
    content: bytes = made.model_proto.SerializeToString()
    return content


def _stable_sort(x: Any, *, stable: bool | None = None, dim: int = -1, descending: bool = False) -> Any:
    """aten.sort.stable, which the exporter lacks: of equal values ONNX's TopK takes the one of lower index first."""
    op: Any = importlib.import_module("onnxscript").opset20
    length = op.Gather(op.Shape(x), op.Constant(value_ints=[dim]), axis=0)
    return op.TopK(x, length, axis=dim, largest=int(descending), sorted=1)


def _metadata(network: Network) -> dict[str, str]:
    return {
        "model": network.model,
        "scale": str(network.scale),
        "config": json.dumps(plain(dict(network.config)), sort_keys=True),
        "weights": (network.weights.content if network.weights else None) or network.source,
    }


def _reason(error: BaseException) -> str:
    """What stopped the exporter, in one sentence: it wraps its errors, and adds pages of advice to their first line."""
    while error.__cause__ is not None:
        error = error.__cause__
    if "DataDependent" in type(error).__name__ or "Unbacked" in type(error).__name__:
        return "what it computes depends on the values of its input"
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return f"{type(error).__name__}: {first}"


def _noise(height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


@contextmanager
def _quietly() -> Iterator[None]:
    """A context without the exporter's remarks on its own progress."""
    before: Any = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
