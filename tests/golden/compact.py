"""Makes `cases.npz`, the golden cases in small, from the folder of whole ones.

    python -m tests.golden.compact ../shared/golden

The file holds `index`, JSON as bytes (a case's description without notes, and per output its input and its largest
absolute value), and as arrays each input once, and per output the sampled places and values. The same cases give the
same file.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.golden.cases import COMPACT, RUNS, whole_case

SAMPLES = 300  # of every output, beside its largest value


def compact(folder: Path) -> dict[str, NDArray[Any]]:
    """What the file holds, by name, for the cases of a folder."""
    index: dict[str, Any] = {}
    arrays: dict[str, NDArray[Any]] = {}
    named: dict[bytes, str] = {}  # inputs by their content: many cases share one
    for path in sorted(folder.glob("*.npz")):
        case = whole_case(path)
        description = {key: value for key, value in vars(case).items() if key not in ("name", "outputs")}
        index[case.name] = {**description, "outputs": {}}
        for output, expected in case.outputs.items():
            content = expected.input.tobytes() + str(expected.input.shape).encode()
            source = named.setdefault(content, f"{case.name}/{RUNS[output].input}")
            arrays[source] = expected.input
            places = sample(f"{case.name}/{output}", expected.values)
            arrays[f"{case.name}/{output}/places"] = places
            arrays[f"{case.name}/{output}/values"] = expected.values[places]
            index[case.name]["outputs"][output] = {"input": source, "largest": expected.largest}
    text = json.dumps(index, separators=(",", ":")).encode()
    return {"index": np.frombuffer(text, np.uint8), **arrays}


def sample(name: str, values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Places in a flattened output, in rising order: random ones that depend on `name`, and the largest value's."""
    random = np.random.RandomState(zlib.crc32(name.encode()))
    places = random.choice(values.size, SAMPLES, replace=False)
    return np.unique([*places, np.abs(values).argmax()]).astype(np.int32)


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1]).is_dir():
        sys.exit("usage: python -m tests.golden.compact FOLDER_OF_GOLDEN_CASES")
    np.savez_compressed(COMPACT, **compact(Path(sys.argv[1])))
    print(f"{COMPACT}: {COMPACT.stat().st_size:,} bytes")
