"""The content of experiments and protocols. Unknown keys are rejected, and every value is validated on loading."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from ablations.claims import AtLeast, Better, Claim, Contest, Equals, Fact, Peak, Printed
from ablations.display import TableDisplay, TradeOffFigure
from ablations.fields import SCALES, Id, Images, Label, Named, Positive, Scales, Sets, Size, Strict, once
from ablations.names import respelled, variant_named
from foundation import nearest, registered

BASELINE = "bicubic"  # measured beside the variants of every experiment, under this id

MOST_PIXELS = 2**16  # of an edge of a patch, and images of a batch: no memory holds more
CHECKPOINTS = (".pth", ".pt", ".safetensors", ".ckpt", ".bin", ".tar")  # as trainers name them


_WEIGHTS = ("trained", "published", "pretrained")


class Variant(Strict):
    """A network and what is overridden in its configuration.

    Its id in an experiment names its runs, so the same id means the same network in every experiment.
    """

    label: str = Field(description="its name in tables and figures")
    model: str | None = Field(default=None, description="none: the row has published numbers only")
    config: dict[str, Any] = Field(default={}, description="what differs from the network's own configuration")
    weights: str = Field(
        default="trained",
        description="trained here; published; pretrained, which come with the suite; or a checkpoint such as net.pth",
    )
    ensemble: bool = Field(default=False, description="mean over the 8 symmetries of the square")
    multiple: Positive = Field(default=1, description="LR is cropped to a multiple of this, as its authors did")
    published: str | None = Field(default=None, description="the method's name in the published table")
    status: str | None = Field(default=None, description="why there is no measured value")
    note: str | None = Field(default=None, description="what differs from the publication, for a footnote")
    trained_on: str | None = Field(default=None, description="the images that the published network was trained on")

    @field_validator("model")
    @classmethod
    def _registered(cls, model: str | None) -> str | None:
        return None if model is None else registered(model)

    @model_validator(mode="after")
    def _consistent(self) -> Variant:
        if self.model is None and self.status is None:
            raise ValueError("a variant without `model` needs `status`, which says why")
        if self.weights == "published" and self.config:
            raise ValueError("published weights belong to the published configuration: `config` must be empty")
        if self.weights not in _WEIGHTS and not self.weights.endswith(CHECKPOINTS):
            raise ValueError(
                f"weights: expected {', '.join(_WEIGHTS)}, or a file {', '.join(CHECKPOINTS)} (found {self.weights!r})"
            )
        return self

    @property
    def trained(self) -> bool:
        """Whether the protocol trains it; else it has weights already."""
        return self.weights == "trained"

    @property
    def given(self) -> bool:
        """Whether its weights are the user's, or come with the suite: neither trained by the protocol nor published."""
        return self.weights not in ("trained", "published")

    @property
    def checkpoint(self) -> Path | None:
        """The user's file of weights."""
        return None if self.weights in _WEIGHTS else Path(self.weights)


class Experiment(Strict):
    """What to compare, and how the comparison is laid out."""

    title: str = Field(description="heading of its part of the report")
    source: str = Field(description="where the paper has it")
    kind: Literal["table", "curve"] = Field(description="curve: quality over a number of the configuration")
    x: str | None = Field(default=None, description="for a curve: the configuration key on the horizontal axis")
    published: str | None = Field(default=None, description="file name under results/published")
    caption: str = Field(description="of the table or figure, in LaTeX too")
    label: Label = Field(description="for LaTeX, kept as it is; of several scales each adds its own, such as -x4")
    scales: Scales = Field(min_length=1, description="upscaling factors; a run for each variant, scale and seed")
    datasets: Named = Field(min_length=1, description="the paper's test sets, in its order")
    reference: str = Field(description="the variant with which the others are compared")
    ours: Named = Field(default=[], description="variants whose rows and points stand out")
    table: TableDisplay = Field(default_factory=TableDisplay, description="for a table: its rows, columns and style")
    tradeoff: TradeOffFigure = Field(default_factory=TradeOffFigure, description="for a table: its figure")
    breakdown: Named = Field(default=[], description="variants whose MACs the report draws part by part")
    variants: dict[Id, Variant] = Field(min_length=1, description="what is compared, by id")
    claims: dict[Id, Annotated[Claim, Field(discriminator="check")]] = Field(
        default={}, description="what is expected of them, by id"
    )

    @model_validator(mode="before")
    @classmethod
    def _as_its_variants(cls, content: Any) -> Any:
        """Names of variants as the variants spell them. What is wrong otherwise is left to the other validators."""
        return respelled(content)

    @model_validator(mode="after")
    def _consistent(self) -> Experiment:
        if BASELINE in self.variants:
            raise ValueError(f"variant {BASELINE!r}: this is the id of the baseline, expected another")
        if self.reference not in self.variants:
            known = nearest(self.reference, self.variants)
            raise ValueError(f"reference {self.reference!r} is not one of the variants; {known}")
        if self.kind == "curve":
            if self.x is None:
                raise ValueError("a curve needs `x`, the configuration key on its horizontal axis")
            for name, variant in self.variants.items():
                value = variant.config.get(self.x)
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    raise ValueError(f"variant {name!r} gives no number for {self.x!r} in its config")
        for key, named in (("breakdown", self.breakdown), ("ours", self.ours)):
            for name in named:
                if name not in self.variants:
                    raise ValueError(f"{key}: unknown variant {name!r}; {nearest(name, self.variants)}")
        self._check_display()
        for name, claim in self.claims.items():
            if misfit := self._misfit(claim):
                raise ValueError(f"claim {name!r}: {misfit}")
        return self

    def variant_named(self, name: str) -> str | None:
        """The id of the variant that a user means: the same in any spelling, or the network whose name it is."""
        return variant_named(name, {key: variant.model for key, variant in self.variants.items()})

    def _check_display(self) -> None:
        for key in ("table", "tradeoff"):
            if key in self.model_fields_set and self.kind == "curve":
                raise ValueError(f"{key}: belongs to a table; this experiment is a curve")
        known = [BASELINE, *self.variants]
        place = "table.groups" if self.table.groups else "table.rows"
        for name in self.table.variants or []:
            if name not in known:
                raise ValueError(f"{place}: unknown variant {name!r}; {nearest(name, known)}")
        dataset, scale = self.tradeoff.dataset, self.tradeoff.scale
        if (dataset is not None and dataset not in self.datasets) or (scale is not None and scale not in self.scales):
            raise ValueError(
                f"tradeoff: {dataset or 'any set'} at x{scale or max(self.scales)} is not in the experiment, expected "
                f"one of {', '.join(self.datasets)} at one of the scales {', '.join(map(str, self.scales))}"
            )

    def rivals(self, claim: Contest) -> list[str]:
        """The variants to compare those of a claim with: the others it names, or all others of the paper's table."""
        if claim.others is not None:
            return list(claim.others)
        printed = [name for name, variant in self.variants.items() if variant.published]
        return [name for name in printed or self.variants if name not in claim.variants]

    def _misfit(self, claim: Claim) -> str | None:
        """Why a claim cannot be judged with this experiment."""
        named = [*getattr(claim, "variants", []), *(getattr(claim, "others", None) or [])]
        named += [claim.at] if isinstance(claim, Peak) else []
        for known, given, noun in (
            (list(self.variants), named, "variant"),
            (self.datasets, getattr(claim, "datasets", None) or [], "dataset"),
            ([str(scale) for scale in self.scales], map(str, getattr(claim, "scales", None) or []), "scale"),
        ):
            for name in given:
                if name not in known:
                    return f"unknown {noun} {name!r}; {nearest(name, known)}"
        if isinstance(claim, Peak):
            if self.kind != "curve":
                return "a peak needs a curve; this experiment is a table"
            return None if len(self.variants) > 1 else "a peak needs more than one variant"
        if isinstance(claim, Printed) and self.published is None:
            return "the experiment has no published table"
        if isinstance(claim, Fact):
            return None
        if isinstance(claim, AtLeast | Equals) and "ssim" in claim.metrics and "metrics" in claim.model_fields_set:
            return "metrics: the margin is one of PSNR"
        rivals = self.rivals(claim)
        if not rivals:
            return "there are no other variants to compare with"
        if both := set(claim.variants) & set(rivals):
            return f"{sorted(both)[0]!r} is listed both in variants and in others"
        if isinstance(claim, Better) and claim.places > len(rivals):
            return f"places: {claim.places} always holds with {len(rivals)} others"
        return None


class Schedule(Strict):
    """Learning rate over the iterations; `learning_rate` of the training is its peak."""

    kind: Literal["constant", "milestones", "one-cycle"] = Field(
        description="one-cycle: rises, then falls to almost zero"
    )
    milestones: list[Positive] = Field(default=[], description="iterations at which the rate falls")
    factor: float = Field(default=0.5, gt=0, le=1, description="milestones: by what it is multiplied")
    warmup: float = Field(default=0.3, gt=0, lt=1, description="one-cycle: share of the iterations that rise")

    @model_validator(mode="after")
    def _consistent(self) -> Schedule:
        if (self.kind == "milestones") != bool(self.milestones):
            raise ValueError("`milestones` (a list of iterations) belongs to kind: milestones, and only there")
        if sorted(set(self.milestones)) != self.milestones:
            raise ValueError(f"milestones must rise: {self.milestones}")
        return self


class Validation(Strict):
    """Periodic measurement of quality during training, without influence on its outcome."""

    data: Images = Field(description="a set, or a folder of images")
    every: Positive = Field(description="iterations between two measurements")
    images: Positive | None = Field(default=None, description="how many images of the set are used, from the first on")


FROM_FILE = "file"  # in run.yaml, in place of the path of a checkpoint to begin from

_AS_BEFORE = [
    ("initialisation", "order"),
    ("cudnn_benchmark", False),
]  # fields added later, with the value that corresponds to earlier trainings


class Training(Strict):
    """Budget, optimiser and data of a training."""

    data: Images = Field(description="a set, or a folder of images")
    lr_patch: Annotated[int, Field(gt=0, le=MOST_PIXELS)] = Field(description="edge of a patch, in LR pixels")
    batch_size: Annotated[int, Field(gt=0, le=MOST_PIXELS)] = Field(description="patches of a step")
    iterations: Annotated[int, Field(gt=0, le=10**9)] = Field(description="steps")
    learning_rate: float = Field(gt=0, description="the peak of the schedule")
    schedule: Schedule = Field(description="the rate over the iterations")
    loss: Literal["l1"] = Field(default="l1", description="mean absolute error")
    optimiser: Literal["adam"] = Field(default="adam", description="Adam, without weight decay")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), strict=False, description="of Adam")
    augment: bool = Field(default=True, description="patches are flipped and rotated at random")
    precision: Literal["float32", "tf32", "bfloat16", "float16"] = Field(
        default="float32", description="float32 is exact on a GPU too; tf32 rounds factors to 10 bits where a GPU can"
    )
    gradient_clip: float | None = Field(default=None, gt=0, description="largest global norm of the gradient")
    ema: float | None = Field(default=None, gt=0, lt=1, description="decay of the averaged weights that are kept")
    compile: bool = Field(default=False, description="torch.compile the training step")
    cudnn_benchmark: bool = Field(
        default=False,
        description="cuDNN tries its algorithms and takes the fastest: not the same bits in every process",
    )
    initialisation: Literal["order", "name"] = Field(
        default="order",
        description="order: PyTorch's, one parameter after the other; name: each from a generator of its own, so that "
        "variants share the values of what they share",
    )
    warm_start: int | str | None = Field(
        default=None,
        description="begin from the same variant's run at this scale, or from what fits of a checkpoint, net.pth",
    )
    workers: int = Field(default=0, ge=0, le=1024, description="processes that prepare batches; 0: none")
    data_on_device: bool = Field(
        default=False, description="decoded images lie in the memory of the GPU, from which patches are cut there"
    )
    checkpoint_every: Positive = Field(description="iterations between two checkpoints")
    validation: Validation | None = Field(default=None, description="measured during training, for its curve")

    @field_validator("warm_start")
    @classmethod
    def _known_start(cls, start: int | str | None) -> int | str | None:
        if start in (None, *SCALES) or (isinstance(start, str) and start.endswith(CHECKPOINTS)):
            return start
        raise ValueError(f"expected a scale (2, 3 or 4) or a file {', '.join(CHECKPOINTS)} (found {start!r})")

    @property
    def start_scale(self) -> int | None:
        """The scale of the run that a training begins from."""
        return self.warm_start if isinstance(self.warm_start, int) else None

    @property
    def start_file(self) -> Path | None:
        """The checkpoint that a training begins from."""
        return Path(self.warm_start) if isinstance(self.warm_start, str) else None

    def deciding(self) -> dict[str, Any]:
        """The settings that determine the outcome of a training, without the names of the data and of a checkpoint to
        begin from, whose content counts.

        A field that was added later is omitted while it has the value of earlier trainings, which thus remain current.
        """
        found = self.model_dump(
            mode="json", exclude={"data", "workers", "data_on_device", "checkpoint_every", "validation"}
        )
        found |= {"warm_start": FROM_FILE} if self.start_file else {}
        return {key: value for key, value in found.items() if (key, value) not in _AS_BEFORE}


class Evaluation(Strict):
    """Test sets, and the conventions of PSNR and SSIM under which each image is measured."""

    datasets: Sets = Field(min_length=1, description="sets by name, or folders of images")
    conventions: Annotated[list[str], AfterValidator(once)] = Field(
        default=["rcan"], min_length=1, description="rcan, float, y8, rgb, full-range, no-border"
    )


class Costing(Strict):
    """How latency and memory are measured. Parameters, and MACs at an output of 1280x720, involve no choice."""

    latency_lr: Size | None = Field(
        default=None, description="LR height and width; without it, the size whose output is 1280x720"
    )
    repeats: int = Field(default=21, gt=0, le=10_000, description="timed passes, in three rounds through all networks")
    warmup: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        default=None, description="seconds of passes before the first round; without it 0.5 on a CPU, 1 on a GPU"
    )
    memory: bool = Field(default=True, description="measure the peak memory too")


class Outcome(Strict):
    """What a study set out to decide, chosen before any of its numbers was seen."""

    dataset: str = Field(description="the set whose PSNR decides")
    judged: list[Id] = Field(min_length=1, description="variants that are judged against the experiment's reference")


class Protocol(Strict):
    """How to train and evaluate."""

    title: str = Field(description="its name in the report")
    summary: str = Field(description="what its numbers may be used for; printed with every number")
    cost: str = Field(description="what a run of Table 2 costs")
    expect: str = Field(description="what to expect of the result")
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**32)]], AfterValidator(once)] = Field(
        default=[0], min_length=1, description="a training of every variant for each"
    )
    training: Training | None = Field(default=None, description="without it only published weights are measured")
    evaluation: Evaluation = Field(description="what is measured of quality")
    costing: Costing = Field(default_factory=Costing, description="how costs are measured")
    registered: Outcome | None = Field(default=None, description="the primary outcome, where one was registered")


class Decision(Strict):
    """A row of the ledger: where the paper and the official code differ, and what is done here."""

    id: Id
    question: str
    paper: str
    code: str
    here: str
    switch: str | None = Field(default=None, description="how to choose otherwise")
