"""What leads the page: the result as a figure and in three sentences, and where, when and with what it was measured.

Networks with published weights are shown by their distance from the published values; networks that were trained
here by the gaps between the experiment's reference and its variants. A page of trainings without results of its own,
or whose networks are below bicubic interpolation, leads with the gaps of the suite's own runs, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from markupsafe import Markup

import ablations
import results
from reports import figures
from reports.deviations import Deviations, load_deviations
from reports.drawings import Drawing
from reports.gaps import Gap, Gaps, load_gaps, study_gaps
from reports.numbers import signed
from reports.study import Study


class Lead(NamedTuple):
    """A figure, the same for a phone, and what it shows in a sentence or two.

    `instead` says why the suite's own runs are shown instead of results of this page, and is "" for those. Only these
    have files beside the page.
    """

    drawing: Drawing
    narrow: Markup
    agreement: str
    gaps: Gaps | None
    deviations: Deviations | None
    instead: str = ""


class Origin(NamedTuple):
    """Machines, days and commits of the runs of a page, each in words and "" where nothing is recorded."""

    machines: str
    days: str
    commits: str


def find_lead(studies: Sequence[Study], plan: ablations.Protocol, root: Path, folder: Path) -> Lead | None:
    """The first study with a result leads. Writes the figure's files (of `figures.files`) to `folder`.

    Raises ablations.AblationError and results.ResultsError.
    """
    if root == results.MEASURED and plan.registered:
        return _suite_gaps(folder)
    for one in studies:
        if deviations := load_deviations(one):
            return _shown(f"deviations-{one.name}", deviations, folder)
    instead = "No gap is measured on this page yet"
    for one in studies:
        if gaps := study_gaps(one, plan):
            if not _below_bicubic(one, gaps):
                return _shown(f"gaps-{one.name}", gaps, folder)
            instead = "The networks that were trained for this page are below bicubic interpolation"
    papers = any(one.experiment.published for one in studies)
    lead = _suite_gaps() if plan.training and papers else None
    return lead._replace(instead=instead) if lead else None


def _below_bicubic(study: Study, found: Gaps) -> bool:
    """Whether training was too short for the gaps to say anything: bicubic is better than the reference."""
    rows = study.table[(study.table.dataset == found.dataset) & (study.table.scale == found.scale)]
    measured = rows[rows.metric == "psnr"].set_index("variant").measured
    return bool(measured.get(study.definition.reference, math.nan) < measured.get(results.BASELINE, math.nan))


def origin(runs: Iterable[results.Run]) -> Origin:
    """Where, when and with which commit some runs were made. Raises ResultsError for a damaged file."""
    records = [record for run in runs for name, record in run.provenance().items() if name in results.STAGES]
    devices = (record.get("device") or {} for record in records)
    named = ((str(device.get("name") or ""), device.get("threads")) for device in devices)
    machines = [f"{name}, {threads} thread{'s' * (threads != 1)}" if threads else name for name, threads in named]
    days = sorted({str(record[key])[:10] for record in records for key in ("started", "finished") if record.get(key)})
    commits = [str(record["commit"])[:7] for record in records if record.get("commit")]
    return Origin(_listed(machines), " to ".join(dict.fromkeys([*days[:1], *days[-1:]])), _listed(commits))


def _listed(texts: Iterable[str]) -> str:
    """Up to three different texts, and how many more."""
    found = [text for text in dict.fromkeys(texts) if text]
    return "; ".join([*found[:3], *([f"{len(found) - 3} more"] if len(found) > 3 else [])])


@cache
def _suite_found() -> Gaps | None:
    return load_gaps(results.protocols(results.MEASURED), results.MEASURED)


def _suite_gaps(folder: Path | None = None) -> Lead | None:
    found = _suite_found()
    return _shown("gaps-table2", found, folder) if found else None


def _shown(name: str, found: Gaps | Deviations, folder: Path | None) -> Lead:
    if isinstance(found, Gaps):
        description = f"PSNR of {found.reference} minus that of its variants on {found.dataset}, ×{found.scale}"
        draw: figures.Draw = partial(figures.gaps, found)
    else:
        description = "Measured minus published PSNR of networks with published weights"
        draw = partial(figures.deviations, found)
    files = {f"{name}.svg": figures.save(draw(figures.PAGE), "svg")} if folder is None else figures.files(name, draw)
    if folder is not None:
        for file, content in files.items():
            results.write(folder / file, content)
    picture = figures.inline(files[f"{name}.svg"], name, description)
    drawing = Drawing(picture, description, files=tuple(files) if folder else ())
    narrow = figures.inline(figures.save(draw(figures.PHONE), "svg"), f"{name}-narrow", description)
    if isinstance(found, Gaps):
        return Lead(drawing, narrow, gaps_sentence(found), found, None)
    return Lead(drawing, narrow, found.sentence, None, found)


def gaps_sentence(found: Gaps) -> str:
    """How far the gaps agree with the paper's, in a sentence or two."""
    place = f"on {found.dataset} at ×{found.scale}"
    judged = [gap for gap in found.gaps if gap.word != "not judged"]
    if len(judged) == 1:
        return f"{_gap(found, judged[0], place)}; {_words[judged[0].word]}."
    if judged:
        counts = {word: sum(gap.word == word for gap in judged) for word in _words}
        told = ", ".join(f"{count} {_counted[word]}" for word, count in counts.items() if count)
        same = sum(gap.difference * gap.published > 0 for gap in judged)
        signs = f"Of the estimates, {same or 'none'} of {len(judged)} {'have' if same > 1 else 'has'} the paper's sign."
        return f"Of {len(judged)} gaps between {found.reference} and its variants {place}: {told}. {signs}"
    if len(found.gaps) == 1:
        return f"{_gap(found, found.gaps[0], place)}."
    known = [gap for gap in found.gaps if gap.low == gap.low]
    leads, trails = sum(gap.low > 0 for gap in known), sum(gap.high < 0 for gap in known)
    unclear = len(found.gaps) - leads - trails
    if not known:
        text = f"The {unclear} gaps between {found.reference} and its variants {place} have no interval, so that "
        text += "none can be told from chance."
    else:
        text = f"{found.reference} is ahead of {leads} of its {len(found.gaps)} variants {place} and behind {trails}; "
        text += f"{unclear} cannot be told apart from it."
    printed = any(gap.published == gap.published for gap in found.gaps)
    return text if printed else f"{text} Nothing is compared with the paper on this set."


def _gap(found: Gaps, gap: Gap, place: str) -> str:
    interval = f"95% interval {signed(gap.low, 3)} to {signed(gap.high, 3)}" if gap.low == gap.low else "no interval"
    printed = f"; the paper prints {signed(gap.published, 2)} dB" if gap.published == gap.published else ""
    return (
        f"{found.reference} minus {gap.label} is {signed(gap.difference, 3)} dB {place} after {gap.iterations:,} steps "
        f"({interval}){printed}"
    )


_words = {
    "agrees in direction": "the direction agrees",
    "disagrees in direction": "the direction disagrees",
    "open": "which of the two is better is open",
}
_counted = {
    "agrees in direction": "agreeing with the paper in direction",
    "disagrees in direction": "disagreeing in direction",
    "open": "open (no interval that excludes zero)",
}
