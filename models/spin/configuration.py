"""SPIN's configuration, and the constants of the method that no variant changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["softmax", "exp"]

COLOURS = 3  # channels of the image
EPSILON = 1e-16  # in the denominator of a superpixel's mean
ITERATIONS = 3  # associations computed, so two updates of the centroids


@dataclass(frozen=True)
class Configuration:
    """SPIN and its variants. The defaults are the published network."""

    blocks: int = 8
    spca: bool = True
    ispa: bool = True
    arrangement: Literal["sequential", "parallel"] = "sequential"
    reach: Literal["neighbours", "all"] = "neighbours"  # superpixels that a pixel sees; all: SVQ
    association: Form = "softmax"
    association_gradient: bool = False
    superpixel_sizes: tuple[int, ...] = (12, 16, 20, 24)  # cell edges in pixels, repeated over the blocks
    channels: int = 40
    attention_width: int = 24  # of query and key
    hidden: int = 72  # of the FFN

    def __post_init__(self) -> None:
        if self.blocks < 1:
            raise ValueError(f"blocks must be at least 1, not {self.blocks}")
        if not self.superpixel_sizes or min(self.superpixel_sizes) < 3:
            raise ValueError(f"superpixel_sizes must be 3 or more each, not {self.superpixel_sizes}")
        if self.arrangement == "parallel" and not (self.spca and self.ispa):
            raise ValueError("arrangement 'parallel' needs both spca and ispa")

    @property
    def smallest_input(self) -> int:
        """Least height and width of an input: no superpixel or window may exceed the image."""
        return max(self.size(block) for block in range(self.blocks))

    def size(self, block: int) -> int:
        """Superpixel and window size of a block."""
        return self.superpixel_sizes[block % len(self.superpixel_sizes)]


def squeezed(channels: int) -> int:
    """Width to which the gates of the FFN squeeze the channels."""
    return channels // 8
