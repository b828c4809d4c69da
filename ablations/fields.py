"""The types of fields in definitions, and the base of their schemas."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Item = TypeVar("Item")


def once(items: list[Item]) -> list[Item]:
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"duplicate {item!r}")
    return items


def listed(value: Any) -> Any:
    """`a, b` is a list too."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _sets_once(names: list[str]) -> list[str]:
    """A folder of images is named by the last part of its path, which identifies it in the results."""
    once(names)
    called = [PurePath(name).name for name in names]
    for name, short in zip(names, called, strict=True):
        if called.count(short) > 1:
            raise ValueError(f"{name!r}: another set has the same name {short!r}, the last part of its path")
    return names


def _takes_no_escape(label: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9 !()*+./:;=?@_|-]+", label):
        raise ValueError("expected letters, digits and signs that LaTeX takes as they are, such as tab:my_results")
    return label


# A variant's id names a folder, so its characters are restricted; its label may be any text.
Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,63}$")]
Label = Annotated[str, AfterValidator(_takes_no_escape)]
SCALES = (2, 3, 4)
Scale = Literal[2, 3, 4]
Positive = Annotated[int, Field(gt=0)]
Size = Annotated[tuple[Positive, Positive], Field(strict=False)]  # not strict: also a list
# Lists without duplicates, since a duplicate would count twice in every mean.
Named = Annotated[list[str], AfterValidator(once)]  # variants, which the experiment looks up
Scales = Annotated[list[Scale], AfterValidator(once)]
Sets = Annotated[list[str], AfterValidator(_sets_once)]


class Strict(BaseModel):
    """Rejects unknown keys and values of another type: `true` is not 1, "8" and 8.0 are not 8; 1 is accepted for 1.0.

    A tuple (`Size`) is given as a list, as YAML and JSON have it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
