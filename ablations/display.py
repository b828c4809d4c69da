"""How an experiment is shown: its table, and its figure of quality over cost."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ablations.fields import Named, Scale, Sets, Strict, listed, once

CostName = Literal["params", "macs", "activations", "latency", "memory"]
QualityName = Literal["psnr", "ssim"]


Listed = BeforeValidator(listed)
Once = AfterValidator(once)


class TableDisplay(Strict):
    """What the tables of an experiment show, and how LaTeX sets them; by default everything that is known."""

    values: Annotated[list[Literal["published", "measured", "difference"]], Once, Listed] = Field(
        default=["published", "measured", "difference"],
        min_length=1,
        description="difference: measured minus published",
    )
    datasets: Annotated[Sets, Listed] | None = Field(default=None, description="these test sets only, in this order")
    metrics: Annotated[list[QualityName], Once, Listed] = Field(
        default=["psnr", "ssim"], min_length=1, description="columns of each set"
    )
    costs: Annotated[list[Literal["params", "macs", "latency"]], Once, Listed] | None = Field(
        default=None, description="columns of cost; default: all, and latency where the protocol trains"
    )
    rows: Annotated[Named, Listed] | None = Field(
        default=None, description="these variants only, in this order; `bicubic` is one of them"
    )
    groups: dict[str, Annotated[Named, Listed]] = Field(
        default={}, description="instead of `rows`: variants by heading"
    )
    headings: bool = Field(default=True, description="the groups' headings; false: a rule between groups is all")
    decimals: dict[QualityName, Annotated[int, Field(ge=0, le=6)]] = Field(
        default={}, description="of PSNR (2) and SSIM (4); ranks are taken at this precision"
    )
    float: Literal["table", "table*"] = Field(
        default="table*", description="LaTeX: as wide as a column, or as the page"
    )
    notes: bool = Field(default=True, description="LaTeX: what qualifies the numbers, below the table")

    @model_validator(mode="after")
    def _consistent(self) -> TableDisplay:
        if self.rows is not None and self.groups:
            raise ValueError("`rows` and `groups` both choose the rows: expected one of them")
        once(self.variants or [])
        return self

    @property
    def variants(self) -> list[str] | None:
        """The rows in their order; None for all."""
        grouped = [variant for members in self.groups.values() for variant in members]
        return grouped or self.rows

    def heading(self, variant: str) -> str:
        """The group of a variant, "" for none."""
        return next((heading for heading, members in self.groups.items() if variant in members), "")


class TradeOffFigure(Strict):
    """A figure of quality over cost: every network of the experiment as a point, on one set at one scale."""

    dataset: str | None = Field(default=None, description="default: the first test set with results")
    scale: Scale | None = Field(default=None, description="default: the experiment's largest")
    x: CostName = Field(default="params", description="the cost on the horizontal axis")
    y: QualityName = Field(default="psnr", description="the quality on the vertical axis")
    source: str | None = Field(default=None, description="the figure of the paper that it reproduces")
