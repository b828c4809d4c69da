"""The facts of a stored picture of superpixels, which the blocks of a SPIN compute for an image."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from ablations.fields import Positive, Scale, Size, Strict
from results.pictures import Facts

Share = Annotated[float, Field(ge=0, le=1.000001)]  # a sum of rounded values may be just above 1
Natural = Annotated[int, Field(ge=0)]


class BlockFiles(Strict):
    """A block's images, all of the whole LR image.

    `superpixels` has the borders of its superpixels, `association` that of the marked one as heat, `selected` its
    top-N pixels, `ignored` the pixels that are in no top-N, `reads` and `attention` the two attentions of SPCA.
    """

    superpixels: str
    association: str
    selected: str | None
    ignored: str | None
    reads: str | None
    attention: str | None


class MarkedSuperpixel(Strict):
    """The superpixel of a block that is looked at: the one to which the pixel `at` belongs.

    Its pixels are those that have their highest association with it. `..._elsewhere` is how much lies on other pixels:
    of its association, of its top-N, of what it reads; and of its pixels' attention, on other superpixels.
    `most_associated`, `most_read` and `most_attended` are the largest values, where the colours of heat end.
    """

    row: Natural
    column: Natural
    pixels: Positive
    most_associated: Share
    associated_elsewhere: Share
    selected_elsewhere: Natural | None
    read_elsewhere: Share | None
    most_read: Share | None
    attended_elsewhere: Share | None
    most_attended: Share | None


class BlockFacts(Strict):
    """A block. `size` is the edge of a superpixel's cell; `empty` superpixels are no pixel's highest association.

    `ignored`: share of the pixels that no top-N selects. `entropy`: of a pixel's association, bits, mean over the
    pixels. `underflow`: share of the associations that are exactly 0. `saturated`: share of the pixels of which one is
    exactly 1. Without ISPA there is no top-N.
    """

    number: Positive
    size: Positive
    rows: Positive
    columns: Positive
    empty: Natural
    top_n: Positive | None
    ignored: Share | None
    entropy: float = Field(ge=0)
    underflow: Share
    saturated: Share
    marked: MarkedSuperpixel
    files: BlockFiles

    @property
    def superpixels(self) -> int:
        return self.rows * self.columns


class SuperpixelFacts(Facts):
    """`at` is the pixel (x, y) whose superpixels are marked, in LR pixels; `at_rule` says in words how it was chosen.

    `depth` is how many blocks the network has. `zoom`: drawn pixels of an LR pixel. `legend` is a file: the colours of
    heat from 0 to the largest value. The colours of lines and of ignored pixels are in CSS's notation.
    """

    image: str
    scale: Scale
    lr_origin: str
    network: str
    source: str = Field(description="where its weights come from")
    depth: Positive
    size: Size = Field(description="width and height of LR")
    zoom: Positive
    at: tuple[Natural, Natural] = Field(strict=False)
    at_rule: str
    legend: str
    marked_colour: str = Field(pattern=r"^#[0-9a-f]{6}$")
    ignored_colour: str = Field(pattern=r"^#[0-9a-f]{6}$")
    blocks: list[BlockFacts] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.at[0] >= self.size[0] or self.at[1] >= self.size[1]:
            raise ValueError(f"pixel {self.at[0]},{self.at[1]} lies outside of {self.size[0]}x{self.size[1]}")
        return self

    @property
    def files(self) -> list[str]:
        """All its images."""
        shown = (file for block in self.blocks for file in block.files.model_dump().values() if file is not None)
        return [self.legend, *shown]
