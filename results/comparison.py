"""The facts of a stored comparison: a box of an image as upscaled by several networks, and the error of each."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ablations.fields import Positive, Size, Strict
from results.pictures import Facts


class Box(Strict):
    """A part of an image, in HR pixels from its left upper corner."""

    x: int = Field(ge=0)
    y: int = Field(ge=0)
    width: Positive
    height: Positive

    @property
    def place(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array with."""
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def __str__(self) -> str:
        return f"{self.x},{self.y},{self.width},{self.height}"


class Quality(Strict):
    """PSNR in dB, none where SR is HR, and SSIM; both of Y, of 8-bit images."""

    psnr: float | None
    ssim: float


class ComparisonPanel(Strict):
    """The result of one network. `view`, `crop` and `error` are files: the part of the image that is shown beside the
    box, the box, and its |SR - HR| on Y in colours.

    `whole` is measured by the protocol on the whole image, `part` on the box alone, which has no border to cut.
    """

    name: str
    label: str
    source: str = Field(description="where its weights come from")
    view: str
    crop: str
    error: str
    whole: Quality
    part: Quality


class Comparison(Facts):
    """Files: `overview` (the HR image, reduced, with the box drawn in), `view` (the part of HR that `shown` names),
    `crop` (the box of HR), `lr_crop` (the box of LR, each pixel as a square), `legend` (errors).

    `shown` is the whole image, or a part around the box if the image is large. `image_rule` and `box_rule` say in
    words how image and box were chosen. `largest_error` is where the colours of the errors end, in levels of Y (0 to
    255).
    """

    image: str
    image_rule: str
    scale: Positive
    lr_origin: str
    size: Size = Field(description="width and height of HR")
    box: Box
    box_rule: str
    shown: Box
    overview: str
    view: str
    crop: str
    lr_crop: str
    legend: str
    largest_error: Positive
    panels: list[ComparisonPanel] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for box in (self.box, self.shown):
            if box.x + box.width > self.size[0] or box.y + box.height > self.size[1]:
                raise ValueError(f"box {box} reaches outside of {self.size[0]}x{self.size[1]}")
        return self

    @property
    def is_whole(self) -> bool:
        """Whether the views show the whole image."""
        return (self.shown.width, self.shown.height) == tuple(self.size)

    @property
    def files(self) -> list[str]:
        """All its images."""
        shown = (file for panel in self.panels for file in (panel.view, panel.crop, panel.error))
        return [self.overview, self.view, self.crop, self.lr_crop, self.legend, *shown]
