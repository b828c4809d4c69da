"""The facts of a stored picture of local attribution maps, for one box of the result of several networks."""

from __future__ import annotations

from pydantic import Field

from ablations.fields import Positive, Strict
from results.comparison import Box
from results.pictures import Facts


class AttributionPanel(Strict):
    """The attribution of one network. `map`, `overlay` and `area` are files.

    `start` and `end` are the gradient that its result has in the box, of the blurred and of the sharp LR image;
    `residual` is the part of the difference that the attributions do not account for. `pixels` is the number of LR
    pixels of the area.
    """

    name: str
    label: str
    source: str = Field(description="where its weights come from")
    map: str
    overlay: str
    area: str
    pixels: Positive
    diffusion_index: float = Field(ge=0, le=100)
    gini: float = Field(ge=0, le=1)
    start: float
    end: float
    residual: float


class AttributionMaps(Facts):
    """`lr` is a file: the part of the LR image that the networks were given, with the box drawn in.

    `box` is in HR pixels of the whole image, `part` in LR pixels; `box_rule` says in words how it was chosen. The path
    begins at a blur of `sigma` LR pixels and has so many `steps`. The brightness of a map is the attribution over its
    largest value to the power of `gamma`; an area holds a `share` of all attribution.
    """

    image: str
    scale: int = Field(ge=2, le=4)
    lr_origin: str
    lr: str
    box: Box
    box_rule: str
    part: Box
    sigma: float = Field(gt=0)
    steps: Positive
    gamma: float = Field(gt=0)
    share: float = Field(gt=0, lt=1)
    panels: list[AttributionPanel] = Field(min_length=1)

    @property
    def files(self) -> list[str]:
        """All its images."""
        return [self.lr, *(file for panel in self.panels for file in (panel.map, panel.overlay, panel.area))]
