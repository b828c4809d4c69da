"""How a set of images is named: by the name of a set of the suite, or by folders of the user's.

The text of it is `Set5`, `FOLDER`, `label=FOLDER` or `label=FOLDER lr=FOLDER`; YAML has {hr: ..., lr: ..., label: ...}
too. A folder without a label is measured under the name `folder:` and the last part of its path.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_OWN = "folder:"
_LR = " lr="
_LABELLED = re.compile(r"(?P<label>folder:[^=]+|[^=/\\]+)=(?P<hr>.+)", re.DOTALL)
_KEYS = ("hr", "lr", "label")


@dataclass(frozen=True)
class ImageSet:
    """`hr` is the name of a set of the suite, or a folder of HR images; `lr` a folder of LR images that belong to them.

    The label is the name under which the set is measured.
    """

    hr: str
    lr: str | None = None
    label: str | None = None

    def __str__(self) -> str:
        """The text, from which `image_set` makes the same again."""
        label = self.label or ""
        # a folder such as lr=4/HR, which would be taken for one with a label
        hr = f"./{self.hr}" if not label and _LABELLED.fullmatch(self.hr) else self.hr
        return (f"{label}={hr}" if label else hr) + (f"{_LR}{self.lr}" if self.lr else "")

    @property
    def path(self) -> Path:
        """The folder of HR images."""
        return Path(self.hr).resolve()

    @property
    def own(self) -> bool:
        """Whether it is the user's beyond doubt, and no name of a set of the suite."""
        return bool(self.label or self.lr or re.search(r"[/\\]", self.hr) or self.hr in (".", ".."))

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which it may be measured; several only for a word that may be a set of the suite."""
        if self.label:
            return (self.label,)
        folder = _OWN + self.path.name
        return (folder,) if self.own else (self.hr, folder)


def image_set(content: str | Mapping[str, Any]) -> ImageSet:
    """The set that a text or a mapping names. Raises ValueError for any other content; the file system is not read."""
    if isinstance(content, Mapping):
        unknown = [str(key) for key in content if key not in _KEYS]
        texts = {key: content[key] for key in _KEYS if content.get(key) is not None}
        if unknown or "hr" not in texts or not all(isinstance(text, str) and text for text in texts.values()):
            raise ValueError("expected a set's name, a folder, or {hr: FOLDER, lr: FOLDER, label: NAME}")
        found = ImageSet(**texts)
    else:
        rest, _, lr = content.partition(_LR)
        labelled = _LABELLED.fullmatch(rest)
        label, hr = (labelled["label"].strip(), labelled["hr"]) if labelled else (None, rest)
        found = ImageSet(hr.strip() if labelled else hr, lr.strip() or None, label)
    if not found.hr.strip() or found.label == "":
        raise ValueError(f"{str(content)!r}: expected a set's name, FOLDER or label=FOLDER")
    if found.label and (not found.label.isprintable() or not _LABELLED.fullmatch(f"{found.label}=x")):
        raise ValueError(f"label {found.label!r}: expected a name without '/' and '='")
    if found.label == _OWN:
        raise ValueError(f"label {found.label!r}: expected a name after the colon")
    if any(_LR in text for text in (found.hr, found.lr or "", found.label or "")):
        raise ValueError(f"{str(content)!r}: expected names without{_LR!r}: rename the folder")
    return found


def told_apart(texts: Sequence[str]) -> list[str]:
    """The texts of several sets, with labels for folders of one name: as much of their paths as tells them apart.

    Raises ValueError for a set that is named twice, or two of one label.
    """
    for text in texts:
        if texts.count(text) > 1:
            raise ValueError(f"duplicate {text!r}, expected each set once")
    sets = [image_set(text) for text in texts]
    for last in dict.fromkeys(each.names[-1] for each in sets if not each.label):
        alike = [each for each in sets if not each.label and each.names[-1] == last]
        paths = [each.path.parts for each in alike]
        if len(set(paths)) < len(paths):
            twice = next(each for each, path in zip(alike, paths, strict=True) if paths.count(path) > 1)
            if len({each.lr for each in alike if each.path == twice.path}) == 1:
                raise ValueError(f"duplicate {str(twice)!r}, expected each set once")
            raise ValueError(f"{str(twice)!r}: another set has the same HR images, expected a label for each")
        if len(alike) > 1:
            most = max(map(len, paths))
            depth = next(n for n in range(2, most + 1) if len({path[-n:] for path in paths}) == len(paths))
            labels = {each: _OWN + "/".join(path[-depth:]) for each, path in zip(alike, paths, strict=True)}
            sets = [replace(each, label=labels[each]) if each in labels and each.own else each for each in sets]
    for each in sets:
        if sum(each.names[0] == other.names[0] for other in sets) > 1:
            raise ValueError(f"{str(each)!r}: another set is called {each.names[0]!r} too, expected a label of its own")
    return [str(each) for each in sets]
