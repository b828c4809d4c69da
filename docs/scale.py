"""Writes scale.md: what the whole paper costs on GPUs, computed from what was measured. `python docs/scale.py`."""

from __future__ import annotations

import heapq
import textwrap
from pathlib import Path
from typing import NamedTuple

import ablations
import models
from ablations import Protocol
from benchmarks.data.registry import entries
from results import PACKAGE
from results.gpu import Card, load_cards

PAGE = Path(__file__).with_name("scale.md")
SHORT = PACKAGE / "measured" / "cpu-short" / "full-x4-s0"  # a finished run, without its weights
SEEDS = 3
GPUS = (1, 8, 64)
_FLOAT = 4  # bytes


class Training(NamedTuple):
    """A run of the paper: the table or figure that it is for, the network, its scale, and the bytes of its weights."""

    part: str
    label: str
    model: str
    blocks: int | None
    scale: int
    bytes: int


def trainings() -> list[Training]:
    """What has to be trained once for Table 2, Fig. 7 and Table 1, each network once, without a repetition."""
    found: dict[tuple[str, str, int], Training] = {}
    for name, part in (("table2", "Table 2"), ("fig7", "Fig. 7"), ("table1", "Table 1")):
        experiment = ablations.load_experiment(name)
        for variant in experiment.variants.values():
            for scale in experiment.scales if variant.model else ():
                module = models.build(str(variant.model), scale, **variant.config)
                size = _FLOAT * sum(parameter.numel() for parameter in module.parameters())
                blocks = variant.config.get("blocks") if name == "fig7" else None
                key = str(variant.model), repr(sorted(variant.config.items())), scale
                found.setdefault(key, Training(part, variant.label, str(variant.model), blocks, scale, size))
    return list(found.values())


def hours(one: Training, step_card: Card, latency_card: Card, protocol: Protocol) -> float:
    """GPU hours of a training: SPIN x4 as measured, others in proportion to a forward pass for an LR pixel."""
    assert step_card.steps and latency_card.latency and protocol.training
    passes = latency_card.latency.networks

    def per_pixel(model: str, scale: int) -> float:
        each = passes[f"x{scale}"][model]
        height, width = each.model_extra["lr_size"]  # type: ignore[index]
        return (each.graph_s or each.median_s) / (height * width)

    step = step_card.steps.steps["float32"].ms / 1000
    share = (one.blocks or 8) / 8 * per_pixel(one.model, one.scale) / per_pixel("spin", 4)
    return protocol.training.iterations * step * share / 3600


def wall(each: list[float], gpus: int) -> float:
    """The time after which the last of these trainings ends, the longest first, as `spinbench run --gpus` does it."""
    ends = [0.0] * gpus
    for one in sorted(each, reverse=True):
        heapq.heappush(ends, heapq.heappop(ends) + one)
    return max(ends)


def page() -> str:
    """The page's Markdown."""
    cards, protocol = load_cards(PACKAGE), ablations.load_protocol("paper")
    stepped = next(card for card in cards if card.steps and "float32" in card.steps.steps)
    timed = next(card for card in cards if card.latency and "spin" in card.latency.networks["x4"])
    assert stepped.steps and protocol.training
    every = trainings()
    cost = {one: hours(one, stepped, timed, protocol) for one in every}
    total = [cost[one] for one in every]
    lines = [
        "# What the whole paper costs",
        "",
        "`python docs/scale.py` writes this page from what was measured; nothing in it was executed as a whole.",
        "",
        _paragraph(f"""
        Every run is trained under the protocol `paper`: {protocol.training.iterations:,} steps of batch
        {protocol.training.batch_size}, LR patches of {protocol.training.lr_patch}, float32. A step of SPIN x4 takes
        {stepped.steps.steps["float32"].ms:.0f} ms on one {stepped.name} (measured). Steps of all other networks and
        scales are *estimates*: in proportion to the time of a forward pass for an LR pixel, measured on one
        {timed.name} for an output of 1280x720, as a CUDA graph where the network can be one. The variants of Table 2
        have about as many parameters and MACs as SPIN and count like it; the depths of Fig. 7 count by their blocks.
        A step's share of a pass differs from network to network, so that a single figure may be wrong by a factor of
        two; where attention spans the whole image (ESRT), it is too high.
        """),
        "",
        f"| | runs | GPU hours | {' | '.join(f'on {n} GPU' + 's' * (n > 1) for n in GPUS)} |",
        "| --- " * (3 + len(GPUS)) + "|",
    ]
    parts = {
        part: [cost[one] for one in every if one.part == part] for part in dict.fromkeys(one.part for one in every)
    }
    rows = {**parts, "the whole paper": total, f"the whole paper, {SEEDS} seeds": total * SEEDS}
    for label, some in rows.items():
        walls = " | ".join(_days(wall(some, n)) for n in GPUS)
        lines.append(f"| {label} | {len(some)} | {sum(some):,.0f} | {walls} |")
    longest = max(every, key=cost.__getitem__)
    text = _text_bytes()
    weights = sum(one.bytes for one in every)
    data = [entry for name in (protocol.training.data, *_sets(protocol)) for entry in entries(name)]
    lines += [
        "",
        _paragraph(f"""
        A run counts where it comes first: Full is SPIN x4 of Table 1 and eight blocks of Fig. 7, and is trained once.
        The longest run, {longest.label} x{longest.scale} with {cost[longest]:,.0f} hours, bounds the time on many
        GPUs (`torchrun` trains one run on several).
        """),
        "",
        "## The longest trainings",
        "",
        "| network | scale | GPU hours |",
        "| --- | --- | --- |",
        *(
            f"| {one.label} | x{one.scale} | {cost[one]:,.0f} |"
            for one in sorted(every, key=cost.__getitem__)[-1:-9:-1]
        ),
        "",
        "## Storage and requests",
        "",
        f"- **Results** of {len(every) * SEEDS} runs ({SEEDS} seeds): {_size(weights * SEEDS)} of weights, and "
        f"{_size(text * len(every) * SEEDS)} of tables and records ({_size(text)} a run).",
        f"- **While training**, a checkpoint holds the weights and two moments of each: {_size(3 * longest.bytes)} for "
        f"{longest.label} x{longest.scale}, written every {protocol.training.checkpoint_every:,} steps.",
        f"- **Data**: {len(data):,} requests and {_size(sum(entry.bytes for entry in data))} where the size is known "
        f"({', '.join(dict.fromkeys(entry.name for entry in data))}), once for all runs. A run makes none.",
        "",
        _paragraph("""
        How long *your* experiment takes, `spinbench run my.yaml --protocol my-protocol.yaml --dry-run` tells from
        the trainings that are stored on your machine. What the suite itself needs for thousands of runs is measured
        by `nox -s orchestration`.
        """),
        "",
    ]
    return "\n".join(lines)


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 118, break_long_words=False, break_on_hyphens=False)


def _sets(protocol: Protocol) -> list[str]:
    validation = protocol.training.validation if protocol.training else None
    named = [*([validation.data] if validation else []), *protocol.evaluation.datasets]
    return [name for name in named if name != "Manga109"]  # not downloaded


def _text_bytes() -> int:
    """Bytes of what a finished run leaves beside its weights."""
    return sum(path.stat().st_size for path in SHORT.rglob("*") if path.is_file())


def _days(given: float) -> str:
    return f"{given:,.0f} h" if given < 48 else f"{given / 24:,.0f} days"


def _size(count: int) -> str:
    unit, factor = next((unit, factor) for unit, factor in (("GB", 1e9), ("MB", 1e6), ("KB", 1e3)) if count >= factor)
    return f"{count / factor:.1f} {unit}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
