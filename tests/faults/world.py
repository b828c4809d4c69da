"""The folders in which the campaign works, what an undisturbed run leaves there, and how another differs from that."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import html
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.faults.launcher import Done

HERE = Path(__file__).parent
EXPERIMENT, PROTOCOL = "two.yaml", "small.yaml"
RUNS = ("bicubic-x4-s0", "one-x4-s0", "other-x4-s0")
TRAINED = RUNS[1:]
STEPS = 4  # of each training
SAME = ("weights.safetensors", "quality.csv")  # to the byte
Cell = tuple[str, ...]


def furnish(folder: Path) -> None:
    """Write the definitions and the images into a folder, from which all commands are started."""
    folder.mkdir()
    for name in (EXPERIMENT, PROTOCOL):
        shutil.copy(HERE / name, folder)
    random = np.random.default_rng(0)
    for name, count in {"train": 3, "first": 2, "second": 1}.items():
        (folder / "images" / name).mkdir(parents=True)
        for number in range(count):
            y, x = np.mgrid[:64, :96] / 96
            waves = [np.sin(a * x + b * y + c) for a, b, c in random.uniform(1, 25, (3, 3))]
            pixels = 128 + 60 * np.stack(waves, 2) + random.normal(0, 15, (64, 96, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / "images" / name / f"{number}.png")


def options(results: Path) -> list[object]:
    return ["--protocol", PROTOCOL, "--results", results]


def run(results: Path) -> list[object]:
    """The arguments of the command that is disturbed."""
    return ["run", EXPERIMENT, *options(results), "--threads", 1]


def run_folder(results: Path, name: str) -> Path:
    return results / "runs" / "small" / name


@dataclass(frozen=True)
class Undisturbed:
    """What a run leaves that nothing disturbs."""

    files: Mapping[str, str]  # digest by <run>/<file>, of the files that must be equal
    costs: Mapping[str, Any]  # what is counted, by run
    cells: Mapping[Cell, Mapping[str, str]]  # numbers of the report's table
    numbers: frozenset[str]  # that stand alone in a cell of the report's page
    seconds: float
    flushes: int
    changes: int
    size: int  # of all runs, in bytes

    @classmethod
    def read(cls, results: Path, done: Done) -> Undisturbed:
        files = {f"{name}/{file}": digest(run_folder(results, name) / file) for name in RUNS for file in SAME}
        files.pop(f"{RUNS[0]}/weights.safetensors")
        costs = {name: _counted(run_folder(results, name)) for name in TRAINED}
        size = sum(path.stat().st_size for path in (results / "runs").rglob("*"))
        shown = table(results), frozenset(numbers(results))
        return cls(files, costs, *shown, done.seconds, done.flushes, done.changes, size)

    def differences(self, results: Path) -> list[str]:
        """In what finished results differ; nothing if all is as if nothing had happened."""
        found = [name for name, known in self.files.items() if digest(run_folder(results, "") / name) != known]
        found += [
            f"{name}/cost.json" for name, known in self.costs.items() if _counted(run_folder(results, name)) != known
        ]
        found += [f"a checkpoint is left in {name}" for name in TRAINED if list(run_folder(results, name).glob("*.pt"))]
        found += [f"{name} of the report" for name in self.wrong_numbers(results)]
        found += [f"{' '.join(key)} is not in the report" for key in self.cells if key not in table(results)]
        try:
            return found + [f"negative times: {line}" for line in _negative_times(results)]
        except ValueError as error:
            return [*found, f"provenance.json: {error}"]

    def wrong_numbers(self, results: Path) -> list[str]:
        """Numbers of the report that are none of an undisturbed one. What is left out is not wrong."""
        found = []
        for key, row in table(results).items():
            known = self.cells.get(key, {})
            found += [f"{' '.join(key)} {name} {value}" for name, value in row.items() if value != known.get(name)]
        return found

    def wrong_on_page(self, results: Path) -> list[str]:
        """The same of its page, as long as nothing was measured again: times differ."""
        return [f"{number} on the page" for number in sorted(numbers(results) - self.numbers)]

    def left_out(self, results: Path, run: str) -> list[str]:
        """Rows of other runs that the report lacks."""
        rows = table(results)
        return [" ".join(key) for key in self.cells if key not in rows and not run.startswith(f"{key[0]}-x")]


def digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def table(results: Path) -> dict[Cell, dict[str, str]]:
    """The numbers measured in the experiment's CSV, by variant, scale, set and metric. Empty where there is none."""
    found = {}
    for path in (results / "report").rglob(f"{Path(EXPERIMENT).stem}.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = tuple(row.get(name, "") for name in ("variant", "scale", "dataset", "metric"))
                values = {name: value for name, value in row.items() if _is_measured(name, value)}
                if values:
                    found[key] = values
    return found


def _is_measured(column: str | None, value: str | None) -> bool:
    return bool(value) and column in ("measured", "sd", "difference", "parameters", "macs")


def numbers(results: Path) -> set[str]:
    """What stands alone in cells of the report's pages and has decimals."""
    found = set()
    for path in (results / "report").rglob("*.html"):
        for cell in re.findall(r"<td\b[^>]*>(.*?)</td>", path.read_text(encoding="utf-8"), re.DOTALL):
            text = html.unescape(re.sub(r"<[^>]*>", " ", cell)).strip()
            if re.fullmatch(r"[\d\s.,±+−%()-]+", text):
                found.update(re.findall(r"\d+\.\d+", text))
    return found


def pages(results: Path) -> str:
    """The words of all pages of the report."""
    texts = [path.read_text(encoding="utf-8") for path in (results / "report").rglob("*.html")]
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)) for text in texts)


def _counted(folder: Path) -> Any:
    try:
        content = json.loads((folder / "cost.json").read_text(encoding="utf-8"))
        return content["parameters"], content["macs"]["total"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return repr(error)


def _negative_times(results: Path) -> Iterator[str]:
    for path in (results / "runs").rglob("provenance.json"):
        for key, value in _leaves(json.loads(path.read_text(encoding="utf-8"))):
            if "seconds" in key and isinstance(value, int | float) and value < 0:
                yield f"{path.parent.name} {key} {value}"
    for path in (results / "runs").rglob("training.csv"):
        with path.open(newline="", encoding="utf-8") as file, contextlib.suppress(ValueError, KeyError, TypeError):
            times = [float(row["seconds"]) for row in csv.DictReader(file)]
            if times != sorted(times) or min(times, default=0) < 0:
                yield f"{path.parent.name} training.csv {times}"


def _leaves(content: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict | list):
        for name, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _leaves(value, f"{key}.{name}")
    else:
        yield key, content
