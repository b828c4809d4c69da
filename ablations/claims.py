"""Claims: sentences of a paper, each written as a check over results."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from ablations.fields import Named, Positive, Scales, Sets, Strict, once


class Sentence(Strict):
    """A sentence of the paper."""

    text: str = Field(description="the sentence")
    source: str = Field(description="section, table or figure")


class Statement(Sentence):
    """A statement of the paper. Unless restricted, it must hold on each set, at each scale and in each metric."""

    scales: Scales | None = Field(default=None, min_length=1, description="none: all of the experiment")
    datasets: Sets | None = Field(default=None, min_length=1, description="none: all")
    metrics: Annotated[list[Literal["psnr", "ssim"]], AfterValidator(once)] = Field(
        default=["psnr", "ssim"], min_length=1, description="in which it must hold"
    )


class Contest(Statement):
    """A statement about some variants and some others."""

    variants: Named = Field(min_length=1, description="of which it speaks")
    others: Named | None = Field(default=None, min_length=1, description="none: all others of the paper's table")


class Better(Contest):
    """Each of the variants is better than each of the others."""

    check: Literal["better"]
    places: Positive = Field(default=1, description="2: best or second best, and so on")


class Smaller(Contest):
    """Each of the variants has less of something than each of the others."""

    check: Literal["smaller"]
    cost: Literal["parameters", "macs", "memory"] = Field(description="of what they have less")


class Undominated(Contest):
    """Each of the variants is better or smaller than each of the others: on the front of quality over size."""

    check: Literal["undominated"]
    cost: Literal["parameters", "macs"] = Field(description="the other axis")


class Peak(Statement):
    """Along a curve, quality rises from variant to variant up to one, and falls after it."""

    check: Literal["peak"]
    at: str = Field(description="the variant at the peak")


class AtLeast(Contest):
    """Each of the variants leads each of the others by at least so many dB of PSNR."""

    check: Literal["at_least"]
    lead: float = Field(gt=0, description="dB")


class Equals(Contest):
    """Each of the variants has the same PSNR or cost as each of the others, within a margin."""

    check: Literal["equals"]
    cost: Literal["parameters", "macs"] | None = Field(default=None, description="none: PSNR")
    within: float = Field(gt=0, description="dB, or a share of the others' cost")


class Printed(Statement):
    """What the paper prints beside its numbers is right: its parameters if counted, its marks if ranked."""

    check: Literal["printed"]
    of: Literal["parameters", "marks"] = Field(description="what is printed")


class Part(Sentence):
    """The modules of a name have parameters in each of the variants, which are counted."""

    check: Literal["part"]
    variants: Named = Field(min_length=1, description="in which they are counted")
    module: str = Field(description="the end of their dotted names")


class Images(Sentence):
    """What stored pictures show of it. They are described, and decide nothing: each shows one training."""

    check: Literal["images"]
    picture: Literal["comparison", "superpixels", "attribution"] = Field(description="the kind of picture")
    variants: Named = Field(min_length=1, description="whose pictures")
    images: list[str] = Field(default=[], description="as SET/NAME; none: all")


class Unmeasured(Sentence):
    """Nothing that is measured here can decide it."""

    check: Literal["unmeasured"]
    missing: str = Field(description="what would have to be measured")


Comparative = Better | Smaller | Undominated | Peak | AtLeast | Equals  # compares variants
Fact = Printed | Part | Images | Unmeasured
Claim = Comparative | Fact
