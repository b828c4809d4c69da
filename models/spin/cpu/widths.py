"""The widths that the kernels are compiled for, and which of them their vectors allow."""

from __future__ import annotations

from typing import NamedTuple

from models.spin.configuration import COLOURS, EPSILON, Configuration, squeezed

LANES = 8  # numbers in a vector, as in vectors.h
WIDEST = 64  # The vectors of one row of a product stay in registers up to here, and the FFN's gates fill one vector.
_PUBLISHED = Configuration()


class Widths(NamedTuple):
    """Widths of a network, each that of the published SPIN unless given. Every set has a library of its own."""

    channels: int = _PUBLISHED.channels  # of a pixel and of an attention's value
    attention: int = _PUBLISHED.attention_width  # of query and key
    hidden: int = _PUBLISHED.hidden  # of the FFN

    @property
    def projected(self) -> int:
        """Width of query, key and value side by side."""
        return 2 * self.attention + self.channels

    @property
    def gate(self) -> int:
        """Width within the gates of the FFN."""
        return squeezed(self.channels)

    @property
    def feed_forward(self) -> list[tuple[int, ...]]:
        """Shapes of the FFN's weights and biases, in the order in which its kernel takes them."""
        channels, gate, hidden = self.channels, self.gate, self.hidden
        norm = [(channels,), (channels,)]
        channel_gate = [(gate, channels), (gate,), (channels, gate), (channels,)]
        pixel_gate = [(gate, channels), (gate,), (1, gate), (1,)]
        return norm + channel_gate + pixel_gate + [(hidden, 2 * channels), (hidden,), (channels, hidden), (channels,)]

    @property
    def unserved(self) -> str | None:
        """The width that no kernel can be compiled for, or None: all must be multiples of 8, the first two up to 64."""
        if self.channels % LANES or not 0 < self.channels <= WIDEST:
            return f"{self.channels} channels"
        if self.attention % LANES or not 0 < self.attention <= WIDEST:
            return f"an attention width of {self.attention}"
        if self.hidden % LANES or self.hidden <= 0:
            return f"a hidden width of {self.hidden}"
        return None

    def definitions(self) -> list[str]:
        """What widths.h is told by the compiler's command."""
        values = {
            "CHANNELS": self.channels,
            "ATTENTION_WIDTH": self.attention,
            "HIDDEN": self.hidden,
            "GATE": self.gate,
            "OUTPUTS": COLOURS,
            "EPSILON": EPSILON,
        }
        return [f"-DSPIN_{name}={value}" for name, value in values.items()]


PUBLISHED = Widths()
