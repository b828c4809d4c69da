"""How a GPU computes: in float32, TF32 or autocast to a half precision, and by which algorithms of cuDNN."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Precision = Literal["float32", "tf32", "bfloat16", "float16"]


@contextmanager
def arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """A context in which networks on `device` compute in `precision`.

    "float32" is exact on a GPU too, where PyTorch's convolutions use TF32 by default. "tf32" rounds the factors of
    convolutions and matrix products to 10 bits of mantissa on GPUs that support it; elsewhere it equals "float32".
    "bfloat16" and "float16" are PyTorch's autocast. The flags of the process are restored afterwards.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    half = precision in ("bfloat16", "float16")
    dtype = getattr(torch, precision) if half else torch.float32
    try:
        with torch.autocast(device.type, dtype, enabled=half):
            yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


@contextmanager
def algorithms(benchmark: bool = False) -> Iterator[None]:
    """A context with deterministic algorithms of cuDNN, or with those that prove to be the fastest in this process.

    By default cuDNN may add in an order that varies, which it does in transposed convolutions.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = benchmark, not benchmark
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before
