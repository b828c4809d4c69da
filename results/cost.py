"""The content of cost.json, validated: numbers of the right type and sign.

Files of the first format, without `measured`, hold a latency that does not say with which implementation it was taken;
their counts remain valid.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

PYTORCH, KERNELS = "PyTorch", "C++ kernels"  # implementations: the one that is compared, and SPIN's own for a CPU

Count = Annotated[int, Field(ge=0, strict=True)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Macs(_Part):
    total: Count
    lr_size: list[Count] | None = None
    by_module: dict[str, Count] = {}
    by_operator: dict[str, Count] = {}
    zero_operators: list[str] = []


class _Activations(_Part):
    convolutions: Count
    products: Count


class _Latency(_Part):
    median_s: Seconds | None = None
    low_s: Seconds | None = None
    high_s: Seconds | None = None
    rounds_s: list[list[Seconds]] = []
    back_to_back_s: Seconds | None = None
    graph_s: Seconds | None = None


class _Memory(_Part):
    bytes: Count | None = None


class _Throughput(_Part):
    batch: Count
    images_per_s: Seconds


class _Measured(_Part):
    implementation: str
    lr_size: list[Count]
    macs: Count
    activations: _Activations
    latency: _Latency | None = None
    memory: _Memory | None = None
    throughput: _Throughput | None = None


class _Cost(_Part):
    parameters: Count
    parameters_by_module: dict[str, Count] = {}
    macs: _Macs | None = None
    activations: _Activations | Count | None = None
    measured: list[_Measured] = []
    machine: dict[str, Any] = {}


def misshapen(content: Any) -> str | None:
    """What is wrong with the content of a cost.json: the key, what was found and what was expected; None if nothing."""
    try:
        _Cost.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']} (found {first['input']!r:.60})"
    return None
