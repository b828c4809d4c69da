"""The content of cost.json, validated: numbers of the right type and sign."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


class _Latency(_Part):
    median_s: Seconds | None = None
    q1_s: Seconds | None = None
    q3_s: Seconds | None = None


class _Memory(_Part):
    bytes: Count | None = None


class _Cost(_Part):
    parameters: Count
    macs: _Macs | None = None
    activations: Count | None = None
    latency: _Latency | None = None
    memory: _Memory | None = None


def misshapen(content: Any) -> str | None:
    """What is wrong with the content of a cost.json: the key, what was found and what was expected; None if nothing."""
    try:
        _Cost.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']} (found {first['input']!r:.60})"
    return None
