"""Thousands of finished runs: one is executed, and the others are written as it would have left them."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

import ablations
from benchmarks.runs import orchestrator
from benchmarks.runs.places import Place
from benchmarks.runs.plan import Job, plan
from benchmarks.runs.progress import Advance
from results import Run, definitions, digest, plain
from results.run import FORMAT

VARIANTS = 20
TINY = Path(__file__).parents[1] / "tiny.yaml"
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class Silent:
    """Progress that nobody watches."""

    def stage(self, run: str, stage: str) -> Advance:
        return lambda done, total, note: None

    def done(self, text: str, run: str | None = None) -> None:
        pass

    def line(self, text: str) -> None:
        pass


def define(folder: Path, runs: int) -> tuple[Path, Path]:
    """The files of an experiment and of a protocol with that many runs of ESPCN, besides bicubic, in a new folder."""
    variants = {f"net-{index}": {"label": f"Network {index}", "model": "espcn"} for index in range(VARIANTS)}
    experiment = {
        "title": "Many runs", "source": "a simulation", "kind": "table", "caption": "Many runs.", "label": "tab:many",
        "scales": [2], "datasets": ["embedded-test"], "reference": "net-0", "variants": variants,
    }  # fmt: skip
    protocol = yaml.safe_load(TINY.read_text()) | {"title": "many", "seeds": list(range(runs // VARIANTS))}
    found = []
    for name, content in {"many": experiment, "much": protocol}.items():
        found.append(folder / f"{name}.yaml")
        found[-1].write_text(yaml.safe_dump(content, sort_keys=False))
    return found[0], found[1]


def jobs_of(experiment: Path, protocol: Path, root: Path) -> list[Job]:
    """Its jobs, as `spinbench status` and `run` plan them."""
    definition, training = (
        definitions.experiment(str(experiment), str(protocol), root),
        ablations.load_protocol(str(protocol)),
    )
    sets = {scale: orchestrator.available_sets(training.evaluation.datasets, scale) for scale in definition.scales}
    return plan(definition, str(protocol), training, device=Place().kind, sets=sets, root=root)


def finish(experiment: Path, protocol: Path, root: Path) -> list[Job]:
    """Execute bicubic and one run, and store the others with its files under their own settings. Returns all jobs."""
    definitions.remember(str(protocol), str(experiment), root)
    jobs = jobs_of(experiment, protocol, root)
    outcomes = orchestrator.carry_out(jobs[:2], Silent())
    assert [one.word for one in outcomes] == ["done", "done"], outcomes
    first = jobs[1].run
    for job in jobs[2:]:
        _store(job, first)
    definitions.ask(str(protocol), [job.run for job in jobs], root)
    return jobs


def _store(job: Job, like: Run) -> None:
    """A folder as `like` left it, under the settings of another job; without waiting for the disk after each file."""
    content = plain({"format": FORMAT, **job.header, "stages": job.stages})
    records = like.provenance()
    records["train"]["hash"] = digest(job.stages["train"])
    evaluation = job.stages["evaluate"]
    records["evaluate"]["hash"] = digest({key: value for key, value in evaluation.items() if key != "sets"})
    for file in like.folder.rglob("*"):
        if file.is_file() and file.name not in ("run.yaml", "provenance.json"):
            target = job.run.folder / file.relative_to(like.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    text = yaml.dump({"hash": digest(content), **content}, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
    job.run.path("run.yaml").write_text(text)
    job.run.path("provenance.json").write_text(json.dumps({"hash": digest(records), **records}, indent=1))
