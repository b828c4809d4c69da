"""Each stored file damaged: it is named, left out of the report, and made again where that is cheap."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.faults import damage, world
from tests.faults.launcher import Done, launch
from tests.faults.strikes import Strike
from tests.faults.tally import Try
from tests.faults.world import Undisturbed

RUN = "one-x4-s0"  # the one that is damaged
CHEAP = ("quality.csv", "measured", "cost.json")  # `run` makes them again
REFERENCE = ("reference.json", "samples.csv")  # its quality.csv is like a run's
CHECKED = ("run.yaml", "provenance.json", "weights.safetensors")  # what `check` reads
_REMEDY = re.compile(r"--rerun|again|anew|delete|remove|move|restore|replace|spinbench \w+", re.IGNORECASE)


def cases(seed: int) -> list[tuple[str, str]]:
    """Every file with every kind of damage to it."""
    return [(file, kind) for file in damage.FILES for kind in damage.of(file, seed)]


def reference_cases(seed: int) -> list[tuple[str, str]]:
    """The files of a reference, in the ways in which any file is damaged; the last end of a line says nothing."""
    return [(file, kind) for file in REFERENCE for kind in damage.of(file, seed) if kind != "last byte cut"]


def damaged(work: Path, finished: Path, known: Undisturbed, file: str, kind: str, seed: int) -> Try:
    """Damage a file of a finished run (the checkpoint: of a half-done one), then look at it with every command."""
    tried = Try(f"{file} damaged", kind)
    results = work / "results"
    if file == "checkpoint.pt":
        launch(world.run(results), work, strike=Strike("kill", 2, "after", "checkpoint.pt"))
    else:
        shutil.copytree(finished, results)
        shutil.rmtree(results / "report")
    before = world.run_folder(results, RUN) / file
    content = before.read_bytes() if before.is_file() else b""
    path = _damage(world.run_folder(results, RUN), file, damage.of(file, seed)[kind])
    left = world.digest(path)
    weights = world.digest(world.run_folder(results, RUN) / "weights.safetensors")

    status = _launch(tried, ["status", world.EXPERIMENT, *world.options(results), "--threads", 1], work)
    check = _check(tried, results, work) if file in CHECKED else None
    report = _launch(tried, ["report", *world.options(results)], work)
    tried.wrong += known.wrong_numbers(results) + known.wrong_on_page(results)
    if file != "checkpoint.pt":
        tried.lost += [f"{row} is not in the report" for row in known.left_out(results, RUN)]
    page = f"{report.text} {world.pages(results)}"

    run = _launch(tried, world.run(results), work)
    tried.wrong += [f"{each}, after run" for each in known.wrong_numbers(results)]
    tried.message = _what_was_said(path.name, status, run)
    # what is removed shows as not done yet; a bit in the padding of an archive, or the last end of a line, says nothing
    harmless = file == "checkpoint.pt" and run.code == 0 and not known.differences(results)
    harmless |= kind == "last byte cut" and content.endswith(b"\n") and not known.differences(results)
    if kind != "removed" and not harmless:
        # of what only `run` reads, only `run` can speak
        tried.mute += _mute(path.name, status.text + run.text, None if file in ("measured", "checkpoint.pt") else page)
    if file == "checkpoint.pt":
        _half_done(tried, work, known, path, run)
        return tried
    if run.steps and not (file == "weights.safetensors" and kind == "removed"):
        tried.lost.append(f"{run.steps} steps of a training that was finished")
    if file == "weights.safetensors":
        _damaged_weights(tried, work, known, left, run, check)
    elif weights != world.digest(world.run_folder(results, RUN) / "weights.safetensors"):
        tried.lost.append("the weights are others now")
    elif run.code == 0 or file in CHEAP:
        # a training is not repeated for its curve: that stays as it is, named and left out
        kept = "negative times" if file == "training.csv" else "\0"
        tried.wrong += [f"{each}, after run" for each in known.differences(results) if not each.startswith(kept)]
        if file in CHEAP and run.code != 0:
            tried.lost.append(f"run ends with {run.code}: {run.text[-150:]}")
    return tried


def reference(work: Path, finished: Path, known: Undisturbed, file: str, kind: str, seed: int) -> Try:
    """Damage a file of a reference: `check` compares nothing with it."""
    tried = Try("reference damaged", f"{file} {kind}")
    results = work / "results"
    shutil.copytree(finished, results)
    path = _damage(results / "reference" / "small" / "one", file, damage.of(file, seed)[kind])
    check = _check(tried, results, work)
    tried.message = _what_was_said(path.name, check)
    if check.code in (0, 1):
        tried.wrong.append(f"it was compared with: {check.text[-100:]}")
    elif not re.search(rf"reference/small/one\S*/{re.escape(file)}: |no reference 'small/one'", check.text):
        tried.mute.append(f"{file} is not named: {check.text[-150:]}")
    return tried


def _launch(tried: Try, arguments: list[object], work: Path) -> Done:
    done = launch(arguments, work)
    if done.crash:
        tried.lost.append(f"{arguments[0]}: {done.crash}")
    return done


def _check(tried: Try, results: Path, work: Path) -> Done:
    folder = world.run_folder(results, RUN)
    reference = ["--reference", "small/one", "--threads", 1, "--results", results]
    return _launch(tried, ["check", folder, *reference], work)


def _damage(folder: Path, file: str, change: damage.Change) -> Path:
    path = folder / file
    if file == "measured":  # quality.csv is put together from these
        (path,) = [each for each in (folder / file).rglob("*.csv") if "folder:first" in each.read_text()]
        (folder / "quality.csv").unlink()
    new = change(path.read_bytes())
    if new is None:
        path.unlink()
    else:
        path.write_bytes(new)
    return path


def _mute(name: str, commands: str, page: str | None) -> list[str]:
    """Where the file is not named together with its run, or no remedy is."""
    named = re.compile(rf"{RUN}.{{0,150}}?{re.escape(name)}.{{0,400}}", re.DOTALL)
    found = []
    for where, text in (("status and run", commands), ("report", page)):
        if text is None:
            continue
        said = named.findall(text)
        if not said:
            found.append(f"{name} is not named by {where}")
        elif not any(_REMEDY.search(each) for each in said):
            found.append(f"no remedy for {name} by {where}")
    return found


def _what_was_said(name: str, *commands: Done) -> str:
    for done in commands:
        if match := re.search(rf"\S*{re.escape(name)}[^─━┃]{{0,200}}", done.text):
            return match[0]
    return ""


def _half_done(tried: Try, work: Path, known: Undisturbed, checkpoint: Path, run: Done) -> None:
    """A checkpoint that cannot be used stays where it is; without it, the training begins again."""
    results = work / "results"
    other = world.run_folder(results, "other-x4-s0") / "weights.safetensors"
    if run.code == 0:
        tried.wrong += known.differences(results)
    elif not other.exists():
        tried.lost.append("the other run was not made")
    elif not checkpoint.exists():
        tried.lost.append("the damaged checkpoint is gone")
    else:
        checkpoint.unlink()
        again = _launch(tried, world.run(results), work)
        tried.wrong += [f"{each}, without the checkpoint" for each in known.differences(results)]
        if again.code != 0:
            tried.lost.append(f"run without the checkpoint ends with {again.code}: {again.text[-150:]}")


def _damaged_weights(
    tried: Try, work: Path, known: Undisturbed, left: str | None, run: Done, check: Done | None
) -> None:
    """Damaged weights are kept until somebody asks for another training, and nothing is measured with them."""
    results = work / "results"
    if check is not None and check.code in (0, 1) and left is not None:
        tried.wrong.append("check measures them")
    if left is not None:
        if run.code == 0:
            tried.wrong.append("run says that all is finished")
        if left not in map(world.digest, results.rglob("*")):
            tried.lost.append("the damaged weights are gone")
    if run.code != 0 or left is None:
        again = _launch(tried, [*world.run(results), "--rerun"], work)
        if again.code != 0:
            tried.lost.append(f"run --rerun ends with {again.code}: {again.text[-150:]}")
        tried.wrong += [f"{each}, after --rerun" for each in known.differences(results)]
        if left not in (None, *map(world.digest, results.rglob("*"))):
            tried.lost.append("the damaged weights are gone after --rerun")
