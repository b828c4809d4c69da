"""Which protocol and which experiments the runs of a folder belong to, so that a report finds them by name.

results/runs/<protocol>/
    protocol.yaml            the protocol as it was last used, and where it came from
    experiments/<name>.yaml  the same of every experiment that was run under it
    asked.txt                the names of the runs that were asked for, a line each; lines may be deleted
    left-out.yaml            the test sets that could not be had, by scale, and why; the file may be deleted
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

import ablations
from ablations import Experiment, Protocol
from ablations.bounded import PlainLoader
from foundation import write
from results.run import FOLDER_NAME, ROOT, ResultsError, Run, digest, runs_folder

_REMEDY = "run the experiment again, which writes it anew"

Definition = TypeVar("Definition", Experiment, Protocol)


def folder(protocol: str, root: Path = ROOT) -> Path:
    """Where the runs of a protocol lie; `protocol` is a name, or the path of its file."""
    return runs_folder(root) / ablations.name_of(protocol)


def protocols(root: Path = ROOT) -> list[str]:
    """The protocols under which something was run, by name."""
    folders = [path.name for path in runs_folder(root).glob("*") if path.is_dir() and not path.name.startswith(".")]
    if runs_folder(root) == root:  # beside what is no run of a protocol
        folders = [name for name in folders if name in ablations.protocol_names()]
    return sorted(folders)


def protocol(name: str, root: Path = ROOT) -> Protocol:
    """The protocol of the YAML file at that path, of the runs of that name below `root`, or else of that name.

    What is kept with the runs gives way to the file it came from, where that is still there. Raises AblationError for
    an unknown or a wrong one, ResultsError where what is kept of it is damaged.
    """
    return _find(name, ablations.protocol_names(), ablations.load_protocol, _kept(name, root), Protocol)


def experiment(name: str, protocol: str, root: Path = ROOT) -> Experiment:
    """The same for an experiment, which may have been run under that protocol."""
    kept = folder(protocol, root) / "experiments" / f"{name}.yaml"
    return _find(name, ablations.experiment_names(), ablations.load_experiment, kept, Experiment)


def experiments(protocol: str, root: Path = ROOT) -> list[str]:
    """The names of the experiments that were run under a protocol."""
    return sorted(path.stem for path in (folder(protocol, root) / "experiments").glob("*.yaml"))


def remember(protocol: str, experiment: str, root: Path = ROOT) -> None:
    """Keep the definitions under which runs are about to be made; names or paths of YAML files.

    Raises ResultsError if another file of the same name is at work in that folder: their runs would be mixed up.
    """
    _keep(_kept(protocol, root), protocol, ablations.protocol_names(), ablations.load_protocol(protocol))
    kept = folder(protocol, root) / "experiments" / f"{ablations.name_of(experiment)}.yaml"
    _keep(kept, experiment, ablations.experiment_names(), ablations.load_experiment(experiment))


def ask(protocol: str, runs: Iterable[Run], root: Path = ROOT) -> None:
    """Note that these runs are wanted, so that a report names those that are missing. It is only told: lines that two
    processes append at the same time, or that are damaged, do no harm."""
    known = set(_asked_names(protocol, root))
    if new := [run.name for run in runs if run.name not in known]:
        file = folder(protocol, root) / "asked.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as lines:
            lines.write("".join(f"{name}\n" for name in new))


def asked(protocol: str, root: Path = ROOT) -> list[Run]:
    """The runs that were asked for under a protocol."""
    name = ablations.name_of(protocol)
    return [
        Run(name, match["variant"], int(match["scale"]), int(match["seed"]), root)
        for line in _asked_names(protocol, root)
        if (match := FOLDER_NAME.fullmatch(line))
    ]


def _asked_names(protocol: str, root: Path) -> list[str]:
    try:
        text = (folder(protocol, root) / "asked.txt").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return list(dict.fromkeys(text.split()))


def leave_out(protocol: str, reasons: Mapping[tuple[str, int], str | None], root: Path = ROOT) -> None:
    """Note why test sets, by name and scale, could not be had, so that a report tells it; None: they could."""
    before = left_out(protocol, root)
    now = {key: reason for key, reason in {**before, **reasons}.items() if reason}
    if now != before:
        content: dict[int, dict[str, str]] = {}
        for (name, scale), reason in now.items():
            content.setdefault(scale, {})[name] = reason
        write(_left_out(protocol, root), yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


def left_out(protocol: str, root: Path = ROOT) -> dict[tuple[str, int], str]:
    """Why test sets, by name and scale, could not be had when runs were last made; it is only told, so a damaged file
    says nothing."""
    try:
        content = yaml.load(_left_out(protocol, root).read_text(encoding="utf-8"), PlainLoader)
        return {
            (str(name), int(scale)): reason
            for scale, sets in content.items()
            for name, reason in sets.items()
            if isinstance(reason, str)
        }
    except (OSError, yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError, ValueError, RecursionError):
        return {}


def _left_out(protocol: str, root: Path) -> Path:
    return folder(protocol, root) / "left-out.yaml"


def _kept(protocol: str, root: Path) -> Path:
    return folder(protocol, root) / "protocol.yaml"


def _find(
    name: str, known: list[str], load: Callable[[str], Definition], kept: Path, schema: type[Definition]
) -> Definition:
    if ablations.name_of(name) != name or not kept.is_file():
        return load(name)
    try:
        stored = _read(kept)
    except ResultsError:
        if name in known:
            return load(name)
        raise
    origin = stored["origin"]
    if isinstance(origin, str) and (origin in known or Path(origin).is_file()):
        return load(origin)
    try:
        return schema.model_validate(stored["definition"])
    except ValueError as error:
        raise ResultsError(f"{kept}: not a definition that can be used ({' '.join(str(error).split())})") from error


def _keep(kept: Path, name: str, known: list[str], definition: Experiment | Protocol) -> None:
    origin = name if name in known else str(Path(name).resolve())
    content = definition.model_dump(mode="json", exclude_unset=True)
    own = {"origin": origin, "definition": content}
    if kept.is_file():
        try:
            stored = _read(kept)
        except ResultsError:  # written anew
            stored = {"origin": None, "definition": None}
        if stored == own:
            return
        before = stored["origin"]
        apart = isinstance(before, str) and before != origin and stored["definition"] != content
        if apart and (before in known or Path(str(before)).is_file()):
            raise ResultsError(
                f"{kept.parent}: holds runs of {before}, not of {origin}; rename the file, or choose another folder"
            )
    write(kept, yaml.safe_dump({"hash": digest(own), **own}, sort_keys=False, allow_unicode=True))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), PlainLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(f"{path}: not valid YAML ({' '.join(str(error).split())}); {_REMEDY}") from error
    if not isinstance(content, dict) or content.keys() != {"hash", "origin", "definition"}:
        raise ResultsError(f"{path}: damaged: expected hash, origin and definition; {_REMEDY}")
    told = content.pop("hash")
    try:
        same = digest(content) == told
    except (TypeError, ValueError):  # dates, or numbers that are none
        same = False
    if not same:
        raise ResultsError(f"{path}: damaged or edited: it does not have the hash that it states; {_REMEDY}")
    return content
