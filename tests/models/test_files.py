"""Networks from a file: what is called, what is found by itself, what is hashed, and what is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import models

GOOD = """
from torch import nn
from layers import Head

class Net(nn.Module):
    def __init__(self, scale, width=8, *, act="relu"):
        super().__init__()
        self.head = Head(width)
        self.tail = nn.Sequential(nn.Conv2d(width, 3 * scale**2, 3, padding=1), nn.PixelShuffle(scale))

    def forward(self, x):
        if min(x.shape[2:]) < 5:
            raise ValueError("too small")
        return self.tail(self.head(x))
"""
LAYERS = """
from torch import nn

class Head(nn.Conv2d):
    def __init__(self, width):
        super().__init__(3, width, 3, padding=1)
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "layers.py").write_text(LAYERS)
    path = tmp_path / "net.py"
    path.write_text(GOOD)
    return path


def test_it_is_built_with_scale_and_keywords(file: Path) -> None:
    model = models.build(f"{file}:Net", 3, width=4)
    assert model(torch.rand(2, 3, 6, 7)).shape == (2, 3, 18, 21)
    assert models.configuration(f"{file}:Net", width=4) == {"width": 4, "act": "relu"}
    info = models.describe(f"{file}:Net")
    assert (info.title, info.smallest_input, info.scales) == ("Net", 5, (2, 3, 4))


def test_what_the_file_tells_is_believed(file: Path) -> None:
    file.write_text(GOOD + "\nINFO = {'title': 'Mine', 'smallest_input': 9, 'scales': [4], 'year': 2026}\n")
    info = models.describe(f"{file}:Net")
    assert (info.title, info.smallest_input, info.scales, info.year) == ("Mine", 9, (4,), 2026)
    with pytest.raises(ValueError, match="scale must be one of 4, not 2"):
        models.build(f"{file}:Net", 2)


def test_its_code_and_that_beside_it_are_hashed(file: Path) -> None:
    first = models.code(f"{file}:Net")
    assert first == models.code(f"{file}:Net")
    assert models.code("imdn") is None
    file.write_text(GOOD + "# changed\n")
    second = models.code(f"{file}:Net")
    assert second != first
    (file.parent / "layers.py").write_text(LAYERS.replace("(3,", "( 3,"))
    (file.parent / "other.py").write_text("raise SystemExit('only what is named is imported')")
    os.utime(file)  # what is beside it is read again when the file is
    assert models.code(f"{file}:Net") not in (first, second)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (GOOD, "Nett", r"no torch.nn.Module called 'Nett'; did you mean 'Net'\?"),
        ("import no_such_library", "Net", "cannot be imported .ModuleNotFoundError: No module named 'no_such_library'"),
        ("x = (", "Net", "cannot be imported .SyntaxError"),
        (GOOD + "\nINFO = {'scale': 4}", "Net", "INFO has no field 'scale'; did you mean 'scales'"),
        (GOOD + "\nINFO = 4", "Net", "INFO is a int, expected a dictionary"),
        (GOOD.replace("width=8, *", "width, *"), "Net", "needs the configuration width, which has no default"),
        (GOOD.replace("< 5", "< 500"), "Net", "takes no image of up to 256x256 pixels"),
    ],
)
def test_what_is_wrong_is_one_line(file: Path, text: str, name: str, message: str) -> None:
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        models.build(f"{file}:{name}", 4)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_an_unknown_keyword(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no such file, expected a network as path/net\.py:Class"):
        models.describe(f"{tmp_path / 'absent.py'}:Net")
    with pytest.raises(ValueError, match=r"has no configuration 'widht'; did you mean 'width'"):
        models.build(f"{file}:Net", 4, widht=3)
    file.write_text(GOOD.replace('"relu"):', '"relu"):\n        raise RuntimeError("on\\npurpose")'))
    with pytest.raises(ValueError, match=r"cannot be built at x4 \(RuntimeError: on purpose\)"):
        models.build(f"{file}:Net", 4)


def test_two_files_may_import_modules_of_one_name(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "layers.py").write_text(LAYERS.replace("super().__init__(3, width", "super().__init__(3, 2 * width"))
    (other / "net.py").write_text(GOOD.replace("nn.Conv2d(width", "nn.Conv2d(2 * width"))
    for path in (file, other / "net.py", file):
        assert models.build(f"{path}:Net", 2)(torch.rand(1, 3, 8, 8)).shape == (1, 3, 16, 16)
