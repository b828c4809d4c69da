"""Sets of the user's in commands and protocols: their LR images, their names, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import yaml

import models
from benchmarks.data import datasets
from benchmarks.measure.evaluation import bicubic_upscale, evaluate
from tests.benchmarks.data.own_images import photograph, reduced, save
from tests.spinbench.commands import Done, spinbench
from tests.spinbench.tiny import write_protocol

EXPERIMENT = {
    "title": "mine", "source": "mine", "kind": "table", "caption": "x", "label": "t", "scales": [4],
    "datasets": ["Set5"], "reference": "fs", "variants": {"fs": {"label": "FSRCNN", "model": "fsrcnn"}},
}  # fmt: skip


def folder_of(path: Path, count: int, phase: float = 0, size: tuple[int, int] = (64, 72)) -> Path:
    for number in range(count):
        save(photograph(*size, phase + number), path / f"img_{number}.png")
    return path


def with_lr(path: Path, count: int = 2) -> tuple[Path, Path]:
    hr, lr = folder_of(path / "HR", count), path / "LR"
    for number in range(count):
        save(reduced(photograph(64, 72, number)), lr / f"img_{number}_LRBI_x4.png")
    return hr, lr


def run(folder: Path, test: list[Any], **training: Any) -> Done:
    (folder / "exp.yaml").write_text(yaml.safe_dump(EXPERIMENT))
    evaluation = {"datasets": test, "conventions": ["rcan"]}
    training = {"lr_patch": 12, **training}
    protocol = write_protocol(folder / "mine.yaml", training, evaluation=evaluation)
    options = ("--protocol", protocol, "--results", folder / "results", "--threads", 1)
    return spinbench("run", folder / "exp.yaml", *options)


def measured(done: Done, csv: Path) -> pd.Series:
    assert done.returncode == 0, done.stderr
    rows = pd.read_csv(csv)
    return rows.groupby(["dataset", "lr_origin"]).psnr.mean()


def test_evaluate_with_lr_images_of_the_user(tmp_path: Path) -> None:
    hr, lr = with_lr(tmp_path)
    csv = tmp_path / "rows.csv"
    found = measured(spinbench("evaluate", "bicubic", "--data", f"mine={hr}", "--lr", lr, "--csv", csv), csv)
    made = evaluate(bicubic_upscale(4), datasets.get(str(hr)), 4).psnr.mean()
    assert list(found.index) == [("mine", "given")]
    assert found.iloc[0] != pytest.approx(made, abs=0.1)
    wrong = spinbench("evaluate", "bicubic", "--data", hr, "--lr", lr, "--lr", lr)
    assert (wrong.returncode, wrong.stderr) == (1, "error: --lr: 2 folders for 1 --data, expected one for each\n")


@pytest.mark.usefixtures("without_report")
def test_a_protocol_names_hr_and_lr(tmp_path: Path) -> None:
    hr, lr = with_lr(tmp_path)
    both = {"hr": str(hr), "lr": str(lr)}
    done = run(tmp_path, [both | {"label": "mine"}], data=both, validation={"data": both, "every": 4})
    quality = tmp_path / "results" / "runs" / "mine" / "fs-x4-s0" / "quality.csv"
    assert list(measured(done, quality).index) == [("mine", "given")]
    again = run(tmp_path, [both | {"label": "mine"}], data=both, validation={"data": both, "every": 4})
    assert "fs-x4-s0 already finished" in again.stdout


def test_folders_of_one_name_are_sets_of_their_own(tmp_path: Path) -> None:
    one, two = folder_of(tmp_path / "SetA" / "HR", 2), folder_of(tmp_path / "SetB" / "HR", 3, phase=7)
    csv = tmp_path / "rows.csv"
    asked = ("--data", one, "--data", two)
    found = measured(spinbench("evaluate", "bicubic", *asked, "--csv", csv, "--save", tmp_path / "sr"), csv)
    alone = [evaluate(bicubic_upscale(4), datasets.get(str(each)), 4).psnr.mean() for each in (one, two)]
    assert [name for name, _ in found.index] == ["folder:SetA/HR", "folder:SetB/HR"]
    assert list(found) == pytest.approx(alone)
    assert len(list((tmp_path / "sr").iterdir())) == 5
    labels = [f"first={one}", f"second={two}"]
    found = measured(spinbench("evaluate", "bicubic", "--data", labels[0], "--data", labels[1], "--csv", csv), csv)
    assert [name for name, _ in found.index] == ["first", "second"]
    wrong = spinbench("evaluate", "bicubic", "--data", f"Set5={one}")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
    assert "label 'Set5' is a set of the suite" in wrong.stderr


def test_saved_images_of_similar_names_are_files_of_their_own(tmp_path: Path) -> None:
    names = ("a b", "a-b", "ä b", "A-b")
    for number, name in enumerate(names):
        save(photograph(phase=number), tmp_path / "HR" / f"{name}.png")
    done = spinbench("evaluate", "bicubic", "--data", tmp_path / "HR", "--save", tmp_path / "sr")
    assert done.returncode == 0, done.stderr
    files = [path.name.lower() for path in (tmp_path / "sr").iterdir()]
    assert len(set(files)) == len(names)


@pytest.mark.usefixtures("without_report")
def test_a_protocol_keeps_folders_of_one_name_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = folder_of(tmp_path / "SetA" / "HR", 2), folder_of(tmp_path / "SetB" / "HR", 3, phase=7)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    training = {"data": str(one), "validation": {"data": str(one), "every": 4}}
    done = run(tmp_path, [str(one), "../SetB/HR"], **training)
    folder = tmp_path / "results" / "runs" / "mine" / "fs-x4-s0"
    found = measured(done, folder / "quality.csv")
    assert [name for name, _ in found.index] == ["folder:SetA/HR", "folder:SetB/HR"]
    assert len(pd.read_csv(folder / "quality.csv")) == 5
    # the same folder in another spelling, and moved beside others: the content counts
    other = tmp_path / "other" / "SetA"
    other.mkdir(parents=True)
    (tmp_path / "SetA" / "HR").rename(other / "HR")
    training = {"data": f"{other}/HR/", "validation": {"data": f"{other}/HR", "every": 4}}
    again = run(tmp_path, [f"{other}/HR/", str(two)], **training)
    assert "fs-x4-s0 already finished" in again.stdout, again.stdout + again.stderr
    options = ("--protocol", tmp_path / "mine.yaml", "--results", tmp_path / "results", "--threads", 1)
    for name in ("folder:SetB/HR", str(two)):
        narrowed = spinbench("run", tmp_path / "exp.yaml", *options, "--data", name)
        assert "fs-x4-s0 already finished" in narrowed.stdout, narrowed.stdout + narrowed.stderr
    wrong = spinbench("run", tmp_path / "exp.yaml", *options, "--data", "HR")
    assert wrong.stderr.startswith("error: the protocol has no test set 'HR'; ")


def test_a_relative_path_writes_nothing_outside_the_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    monkeypatch.setattr("spinbench.runs.render", lambda protocol, folder: None)
    folder_of(tmp_path / "images", 1)
    test = {"hr": "../../../images", "label": "..up ..  it"}
    before = {path for path in tmp_path.rglob("*.csv")}
    done = run(deep, ["../../../images", test], data="../../../images", validation=None)
    assert done.returncode == 0, done.stderr
    written = {path for path in tmp_path.rglob("*.csv")} - before
    assert written and all(path.is_relative_to(deep / "results") for path in written)
    rows = pd.read_csv(deep / "results" / "runs" / "mine" / "fs-x4-s0" / "quality.csv")
    assert list(rows.dataset) == ["folder:images", "..up ..  it"]


@pytest.mark.usefixtures("without_report")
def test_a_reference_made_on_a_folder_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.regression.checks.comparable_costs", lambda *arguments: None)
    hr, lr = with_lr(tmp_path, 1)
    data = f"{hr} lr={lr}"
    weights = tmp_path / "espcn.pth"
    torch.save(models.build("espcn", 4).state_dict(), weights)
    options = ("--reference", "mine/espcn-x4-s0", "--results", tmp_path / "results", "--threads", 1)
    new = ("--model", "espcn", "--scale", 4, "--update", "--reason", "first")
    made = spinbench("check", weights, *options, *new, "--data", data)
    assert made.returncode == 0, made.stderr
    same = spinbench("check", weights, *options)
    assert same.returncode == 0, same.stderr
    assert "regression check: equal" in same.stdout
    hr.rename(tmp_path / "moved")
    gone = spinbench("check", weights, *options)
    assert gone.returncode == 2
    assert f"its set folder:HR was {hr}, which is not there; expected --data folder:HR=FOLDER" in gone.stderr
    moved = f"folder:HR={tmp_path}/moved lr={lr}"
    assert "regression check: equal" in spinbench("check", weights, *options, "--data", moved).stdout
    other = spinbench("check", weights, *options, "--data", f"folder:HR={tmp_path}/moved")
    assert "the images of folder:HR, HR or LR, have changed" in other.stderr


def test_what_is_left_out_of_a_folder_is_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "HR", 2)
    (folder / "._img_0.png").write_bytes(b"\0\5\x16\7")
    (folder / "Thumbs.db").write_bytes(b"x")
    (folder / "more").mkdir()
    (folder / "gone.png").symlink_to("/nowhere/x.png")
    photograph().save(folder / "c.gif")
    done = spinbench("evaluate", "bicubic", "--data", folder)
    assert done.returncode == 0, done.stderr
    assert f"{folder}: left out: c.gif, gone.png (a broken link), more/" in done.stdout.splitlines()
    (tmp_path / "empty" / "HR").mkdir(parents=True)
    empty = spinbench("evaluate", "bicubic", "--data", tmp_path / "empty")
    assert empty.stderr.endswith("; its folders are HR\n") and empty.returncode == 1


def test_evaluate_keeps_what_it_has_measured(tmp_path: Path) -> None:
    folder, csv = folder_of(tmp_path / "HR", 2), tmp_path / "rows.csv"
    photograph().convert("CMYK").save(folder / "img_05.jpg")
    only_bad = tmp_path / "bad" / "HR"
    only_bad.mkdir(parents=True)
    (only_bad / "x.png").write_bytes(b"no image")
    done = spinbench("evaluate", "bicubic", "--data", only_bad, "--data", folder, "--csv", csv)
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if line.startswith("failed: ")]
    assert len(told) == 2
    assert "x.png: not an image" in told[0] and "img_05.jpg: colour mode CMYK" in told[1]
    assert "2 of 3" in done.stdout
    assert list(pd.read_csv(csv).image) == ["img_0", "img_1"]
    alone = spinbench("evaluate", "bicubic", "--data", only_bad)
    assert (alone.returncode, alone.stderr.count("\n")) == (1, 1) and "x.png: not an image" in alone.stderr


@pytest.mark.usefixtures("without_report")
@pytest.mark.parametrize("part", ["training", "validation", "test"])
def test_bad_images_are_told_before_the_training(tmp_path: Path, part: str) -> None:
    good, bad = folder_of(tmp_path / "good", 2), folder_of(tmp_path / "bad", 1)
    save(photograph(16, 200), bad / "small.png")
    photograph().convert("CMYK").save(bad / "zz.jpg")
    sets = {key: str(bad if key == part else good) for key in ("training", "validation", "test")}
    validation = {"data": sets["validation"], "every": 4}
    done = run(tmp_path, [sets["test"]], data=sets["training"], validation=validation)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    least = {"training": "12x12, the patch"}.get(part, "5x5, for the networks and for SSIM")
    assert f"{bad}/small.png: LR image of 4x50 at x4, expected at least {least}; " in done.stderr
    assert f"{bad}/zz.jpg: colour mode CMYK" in done.stderr
    assert not (tmp_path / "results" / "runs" / "mine" / "fs-x4-s0").exists()
