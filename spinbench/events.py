"""A run's training.csv as TensorBoard's event files. Importing this needs the package tensorboard."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from torch.utils.tensorboard import SummaryWriter

from foundation import write
from results import Run, sha256

_MARK = "spin-bench.json"  # beside the event files: which training.csv they show, and which files they are
_TAGS = {"loss": "training/loss", "learning_rate": "training/learning rate", "psnr": "validation/PSNR (dB)",
         "ssim": "validation/SSIM"}  # fmt: skip


def write_events(run: Run, folder: Path) -> int:
    """Write the event files of a run; returns the number of its points.

    Unless training.csv has changed nothing is written. Otherwise the event files that this function wrote before are
    replaced, since events cannot be changed; other files stay. Raises OSError, and ValueError for a damaged file.
    """
    source = run.path("training.csv")
    rows, digest = pd.read_csv(source), sha256(source)
    before = _written(folder)
    if before.get("sha256") == digest:
        return len(rows)
    seconds = rows["seconds"].to_numpy()
    ended = source.stat().st_mtime
    earlier = set(folder.glob("events.*"))
    with SummaryWriter(str(folder)) as writer:
        for column, tag in _TAGS.items():
            for step, value, second in zip(rows["iteration"], rows[column], seconds, strict=True):
                if pd.notna(value):
                    writer.add_scalar(tag, float(value), int(step), walltime=ended - seconds[-1] + second)
    own = [path.name for path in folder.glob("events.*") if path not in earlier]
    for name in before.get("files", []):
        (folder / Path(name).name).unlink(missing_ok=True)
    write(folder / _MARK, json.dumps({"sha256": digest, "files": own}))
    return len(rows)


def _written(folder: Path) -> dict[str, list[str]]:
    """What was written into a folder before; nothing if its mark is missing or unreadable."""
    try:
        content = json.loads((folder / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
