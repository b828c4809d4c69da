"""The types of fields in definitions, and the base of their schemas."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from foundation.image_sets import image_set, told_apart

Item = TypeVar("Item")


def once(items: list[Item]) -> list[Item]:
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"duplicate {item!r}")
    return items


def listed(value: Any) -> Any:
    """`a, b` is a list too."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _as_text(content: Any) -> Any:
    """A set of images as a text, in one form however it was given; other types are left to the validation of texts."""
    return str(image_set(content)) if isinstance(content, str | Mapping) else content


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
# A set of images, as `foundation.image_sets` reads it: a name, FOLDER, label=FOLDER, or {hr: ..., lr: ..., label: ...}.
Images = Annotated[str, BeforeValidator(_as_text)]
Sets = Annotated[list[Images], AfterValidator(told_apart)]


class Strict(BaseModel):
    """Rejects unknown keys and values of another type: `true` is not 1, "8" and 8.0 are not 8; 1 is accepted for 1.0.

    A tuple (`Size`) is given as a list, as YAML and JSON have it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
