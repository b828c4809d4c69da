"""Outputs: checked before the work, and names in them are shown as they are and do nothing."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import results
from foundation import one_line, printable, write
from results.cells import as_written
from results.quality import read_quality
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import write_protocol

RGB = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def folder_of(parent: Path, name: str, image: str = "a.png") -> Path:
    folder = parent / name
    folder.mkdir()
    Image.fromarray(RGB).save(folder / image)
    return folder


@pytest.mark.parametrize(
    ("arguments", "suffix"),
    [
        (["evaluate", "espcn", "--untrained", "--data", "SET", "--csv"], ""),
        (["speed", "--models", "espcn", "--lr", "16x16", "--csv"], ""),
        (["export", "espcn", "--untrained", "--onnx"], ".onnx"),
        (["check", "--json"], ""),
        (["check", "--markdown"], ""),
        (["tradeoff", "table1", "--output"], ".pdf"),
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, arguments: list[str], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spinbench.options.network_of", lambda *_: pytest.fail("began to work"))
    monkeypatch.setattr("spinbench.networks.network_of", lambda *_: pytest.fail("began to work"))
    arguments = [str(folder_of(tmp_path, "set")) if word == "SET" else word for word in arguments]
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"folder{suffix}").mkdir()
    places = {f"pipe{suffix}": "a pipe", f"file/x{suffix}": "is a file", f"folder{suffix}": "folder|exists|directory"}
    for place, reason in places.items():
        done = spinbench(*arguments, tmp_path / place)
        assert done.returncode in (1, 2), done
        assert any(each in done.stderr for each in reason.split("|")) or "exists already" in done.stderr, done
        assert "Traceback" not in done.stderr
        assert "PSNR (dB)" not in done.stdout


def test_folders_of_images_are_checked_before_the_work(tmp_path: Path) -> None:
    images = folder_of(tmp_path, "set")
    (tmp_path / "file").touch()
    for arguments in (
        ["upscale", images, "--model", "bicubic", "--output"],
        ["evaluate", "bicubic", "--data", images, "--save"],
    ):
        done = spinbench(*arguments, tmp_path / "file")
        assert (done.returncode, done.stderr) == (1, f"error: {tmp_path / 'file'}: is a file, expected a folder\n")


def test_what_is_no_file_is_never_replaced_by_one(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for place, reason in ((pipe, "a pipe"), (link, "is a device"), (tmp_path, "is a folder")):
        with pytest.raises(OSError, match=reason):
            write(place, "content")
    assert pipe.is_fifo()
    assert link.is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link", "pipe"]


def test_a_line_end_in_the_name_of_a_file_does_not_end_the_line_of_its_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "a\nerror: b").open()
    assert one_line(caught.value) == f"{tmp_path}/a\\nerror: b: No such file or directory"


def test_nothing_is_left_of_the_check(tmp_path: Path) -> None:
    done = spinbench("evaluate", "espcn", "--data", folder_of(tmp_path, "set"), "--csv", tmp_path / "new" / "a.csv")
    assert done.returncode == 1
    assert [file.name for file in tmp_path.iterdir()] == ["set"]


def test_markup_and_escapes_in_names_are_shown_as_they_are(tmp_path: Path) -> None:
    for name, shown in (("[bold]a[/]", "[bold]a[/]"), ("b\x1b[2Jc", "b\\x1b[2Jc"), (":smile:", ":smile:")):
        done = spinbench("evaluate", "bicubic", "--data", folder_of(tmp_path, name.replace("/", "")))
        assert done.returncode == 0, done
        assert f"folder:{shown.replace('/', '')}" in done.stdout
        assert "\x1b" not in done.stdout
    assert printable("a\u202eb\udce9\n") == "a\\u202eb\\udce9\n"


def test_names_that_are_not_utf_8_are_refused_in_one_line_or_shown(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "set")
    (folder / "a.png").rename(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))
    done = spinbench("evaluate", "bicubic", "--data", folder, "--csv", tmp_path / "a.csv")
    assert done.returncode == 1
    assert "caf\\udce9.png: a name with bytes or characters that no table can show" in done.stderr
    done = spinbench("upscale", folder, "--model", "bicubic", "--output", tmp_path / "out")
    assert (done.returncode, "caf\\udce9.png 32x32" in done.stdout) == (0, True)


def test_no_cell_of_a_csv_is_computed_by_a_spreadsheet(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, "set", "=1+1.png")
    assert spinbench("evaluate", "bicubic", "--data", folder, "--csv", tmp_path / "a.csv").returncode == 0
    assert ",'=1+1," in (tmp_path / "a.csv").read_text(encoding="utf-8")
    frame = pd.DataFrame({"text": ["@a", "+1.5", "-x", "-", "a=b"], "number": [-1.0, 2, 3, 4, 5]})
    assert results.as_csv(frame) == "text,number\n'@a,-1.0\n+1.5,2.0\n'-x,3.0\n-,4.0\na=b,5.0\n"
    assert as_written(pd.read_csv(io.StringIO(results.as_csv(frame))), ["text"]).text.tolist() == frame.text.tolist()


def test_nor_is_one_of_the_file_of_a_run(tmp_path: Path, without_report: None) -> None:
    set_ = folder_of(tmp_path, "set", "=1+1.png")
    Image.fromarray(np.tile(RGB, (3, 3, 1))).save(set_ / "=1+1.png")
    protocol = write_protocol(tmp_path / "mine.yaml", evaluation={"datasets": [str(set_)]})
    (tmp_path / "one.yaml").write_text(
        "title: t\nsource: s\nkind: table\ncaption: c\nlabel: l\nscales: [4]\ndatasets: [set]\nreference: a\n"
        "variants: {a: {label: A, model: espcn}}\n"
    )
    done = spinbench("run", tmp_path / "one.yaml", "--protocol", protocol, "--results", tmp_path, "--threads", 1)
    assert done.returncode == 0, done
    file = tmp_path / "runs" / "mine" / "a-x4-s0" / "quality.csv"
    assert ",'=1+1," in file.read_text(encoding="utf-8")
    assert read_quality(file).image.tolist() == ["=1+1"]
