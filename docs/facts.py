"""Writes README's tables of networks and of protocols, and docs/licences.md, from registry, definitions and results.

`nox -s pictures` runs it. Counting the MACs of all networks takes half a minute.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable
from pathlib import Path

import ablations
import models
import results
from benchmarks.data.datasets import SETS
from benchmarks.data.registry import entries
from benchmarks.measure.macs import lr_size_for, macs
from models.info import ModelInfo
from reports.study import load_study
from reports.tables import PUBLISHED_WEIGHTS

README = Path(__file__).parents[1] / "README.md"
LICENCES = Path(__file__).with_name("licences.md")
SCALE, DATASET = 4, "Set5"  # of the table, as in Fig. 1
UNKNOWN = "unknown"
TERMS = re.compile(r"CC0|non-commercial research|academic research only|academic licence")


def main() -> None:
    text = README.read_text(encoding="utf-8")
    text = with_block(text, "networks", networks(count_macs))
    results.write(README, with_block(text, "protocols", protocols()))
    results.write(LICENCES, licences())
    print(f"written: {README}, {LICENCES}")


def with_block(text: str, name: str, content: str) -> str:
    """A Markdown text with that content between <!-- name --> and <!-- end of name -->.

    Raises ValueError if these do not stand in it.
    """
    before, first, rest = text.partition(f"<!-- {name} -->\n")
    _, last, after = rest.partition(f"\n<!-- end of {name} -->")
    if not last:
        raise ValueError(f"no <!-- {name} --> with <!-- end of {name} --> after it")
    return before + first + content + last + after


def count_macs(name: str) -> float:
    """Multiply-adds of a network for an output of 1280x720, in units of 10^9."""
    return macs(models.build(name, SCALE), lr_size_for(SCALE)).total / 1e9


def networks(counted: Callable[[str], float]) -> str:
    """A row per network: parameters, MACs, published and measured PSNR, and what weights there are."""
    table = load_study("table1", "published", results.MEASURED).table
    table = table[(table.dataset == DATASET) & (table.scale == SCALE) & (table.metric == "psnr")]
    variants = {}
    for variant, one in ablations.load_experiment("table1").variants.items():
        if one.model and not one.status and not one.ensemble:  # LatticeNet+ is LatticeNet with a self-ensemble
            variants[one.model] = variant
    rows = [
        f"| network | parameters | MACs | {DATASET} ×{SCALE}, published | measured | weights |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for name in models.names():
        info, of_it = models.describe(name), table[table.variant == variants.get(name)]
        published = of_it.published.max()
        measured = of_it.measured[of_it.source == PUBLISHED_WEIGHTS].max()
        rows.append(
            f"| {info.title} ({info.year}) | {info.counted_parameters[SCALE] / 1e3:,.0f}K | {counted(name):.1f}G"
            f" | {_decibels(published)} | {_decibels(measured)} | {weights(name)} |"
        )
    return "\n".join(rows)


def _decibels(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def weights(name: str) -> str:
    """What weights of a network can be used: published ones by scale, those of the suite, or none."""
    found = [entry for entry in entries(name) if entry.kind == "weights"]
    scales = sorted({scale for entry in found for scale in ([entry.scale] if entry.scale else models.SCALES)})
    if not found:
        return f"[trained briefly, ×{SCALE}](models/pretrained/README.md)" if name == "spin" else "none"
    words = "published, " + " ".join(f"×{scale}" for scale in scales)
    return words if all(entry.hash for entry in found) else f"{words}; not verified here"


def protocols() -> str:
    """A row per protocol, from the one that trains least: what it is, its time and hardware."""
    known = {name: ablations.load_protocol(name) for name in ablations.protocol_names()}
    rows = ["| protocol | what | time and hardware |", "| --- | --- | --- |"]
    for name, one in sorted(known.items(), key=lambda item: item[1].training.iterations if item[1].training else 0):
        rows.append(f"| `{name}` | {re.split(r'[:;.] ', one.summary)[0].rstrip('.')} | {one.cost} |")
    return "\n".join(rows)


def licences() -> str:
    """The page about the licences of code, data and weights."""
    lines = [
        "# Licences of data and weights",
        "",
        "`python docs/facts.py` writes this page from the registry of the suite. Neither images nor published",
        "checkpoints are part of the repository: they are downloaded from where their authors published them, and",
        "their terms bind whoever uses them. The code of the suite, its measurements, and the weights in",
        "`models/pretrained` (its README.md is their card) are under the MIT licence. The only photograph in the",
        "repository is in `docs/pictures`; it comes with scikit-image (CC0).",
        "",
        f"*{UNKNOWN}*: no terms are stated where it is published, as far as is known here. That is no permission.",
        "",
        "## Images",
        "",
        "| set | images | for | origin | terms |",
        "| --- | ---: | --- | --- | --- |",
    ]
    for name, about in SETS.items():
        origin = re.split(r";| \(CC0\)", about.note)[0]
        found = TERMS.search(about.note)
        lines.append(f"| {name} | {about.images} | {about.role} | {origin} | {found[0] if found else UNKNOWN} |")
    lines += [
        "",
        "The sets of SelfExSR are fetched from that repository, which does not replace the terms of their authors.",
        "The photographs of embedded-train come with scikit-image, under terms of their own photographers.",
        "",
        "## Networks",
        "",
        "All networks were written anew from their papers; none of the authors' code is contained. The licence is that",
        "stated in the authors' repository; it is taken to hold for the files that they publish there.",
        "",
        "| network | of the authors | licence | checkpoint or data in | licence |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [_licence(name, models.describe(name)) for name in models.names()]
    return "\n".join(lines) + "\n"


def _licence(name: str, info: ModelInfo) -> str:
    stated = UNKNOWN if info.licence == "none stated" else info.licence
    found = [entry for entry in entries(name) if entry.kind in ("weights", "data")]
    places = list(dict.fromkeys(_repository(entry.path) for entry in found))
    own = all(place.lower() in info.repository.lower() for place in places)
    terms = (stated if own else UNKNOWN) if found else "–"
    repository = info.repository or "–"
    return f"| {info.title} | {repository} | {stated} | {', '.join(places) or 'none'} | {terms} |"


def _repository(path: str) -> str:
    return "/".join(path.removeprefix("https://github.com/").split("/")[:2])


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    main()
