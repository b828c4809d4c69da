"""`spinbench list`, one line each, and `spinbench fetch` of checkpoints that were never verified here."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ablations
import models
from benchmarks.data import datasets, registry
from benchmarks.data.fetch import local_file
from models.loading import under_published_names
from tests.benchmarks.data.test_fetch import QuietHandler
from tests.spinbench.commands import spinbench
from tests.spinbench.tiny import Finished

# list


def listed(*arguments: object) -> list[str]:
    done = spinbench("list", *arguments)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    return lines


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("networks", [*models.names(), "rfdn_aim"]),
        ("experiments", ablations.experiment_names()),
        ("protocols", ablations.protocol_names()),
        ("data", datasets.SETS),
        ("table2", ablations.load_experiment("table2").variants),
    ],
)
def test_one_line_each(what: str, names: list[str]) -> None:
    assert [line.split()[0] for line in listed(what)] == list(names)


def test_networks_say_whether_a_checkpoint_is_available(
    mirror_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checkpoints() -> dict[str, str]:
        return {line.split()[0]: re.split(r"K +", line, maxsplit=1)[1] for line in listed("networks")}

    found = checkpoints()
    assert found["imdn"] == "checkpoint x2, x4 at hand; x3 not in the mirror"
    assert found["carn_m"] == "checkpoint x2, x3, x4 at hand"
    assert found["swinir_light"] == "checkpoint x2, x3, x4 not in the mirror, unverified"
    assert found["esrt"] == "no checkpoint registered"
    monkeypatch.delenv("SPINBENCH_MIRROR")
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path))
    found = checkpoints()
    assert found["imdn"] == "checkpoint x2, x3, x4 to fetch"
    assert found["rfdn_aim"] == "checkpoint x4 to fetch, unverified"


def test_runs_are_listed_with_their_stages(finished: Finished) -> None:
    folder, _ = finished
    bicubic, full = listed("runs", "--results", folder)
    assert bicubic.split()[:2] == ["tiny/bicubic-x4-s0", "evaluate"]
    assert full.split()[:3] == ["tiny/full-x4-s0", "train,", "evaluate,"]
    assert "4/4" in full


def test_without_runs_it_says_so(tmp_path: Path) -> None:
    assert spinbench("list", "runs", "--results", tmp_path).stdout == f"{tmp_path / 'runs'}: there are no runs\n"


def test_an_unknown_list_is_one_line() -> None:
    done = spinbench("list", "network")
    assert done.returncode == 1
    assert done.stderr.startswith("error: list network: did you mean 'networks'? known: networks, experiments, ")


# Checkpoints that were never verified here


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[bytes]:
    """A checkpoint of RFDN (AIM 2020), which a server of this machine offers where its authors published theirs."""
    (entry,) = registry.entries("rfdn_aim")
    torch.manual_seed(0)
    model = models.build("rfdn_aim", 4)
    content = io.BytesIO()
    torch.save(under_published_names(model, models.describe("rfdn_aim").published_names(model)), content)
    file = tmp_path / "server" / entry.path
    file.parent.mkdir(parents=True)
    file.write_bytes(content.getvalue())
    monkeypatch.setenv("SPINBENCH_DATA", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(tmp_path / "server"))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        monkeypatch.setenv("SPINBENCH_MIRROR", f"http://127.0.0.1:{http.server_address[1]}")
        yield content.getvalue()
        http.shutdown()


def test_an_unverified_checkpoint_is_used_only_once_it_was_asked_for(published: bytes, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)).save(tmp_path / "a.png")
    use = ["upscale", tmp_path / "a.png", "--model", "RFDN-AIM", "--published"]
    done = spinbench(*use, "--output", tmp_path / "out")
    assert done.stderr == (
        "error: rfdn_aim x4: its published checkpoint was never verified here, and must first be fetched by name "
        "(RFDN_AIM.pth)\n"
    )
    sha256 = hashlib.sha256(published).hexdigest()
    done = spinbench("fetch", "RFDN-AIM", "--scale", 4)
    assert done.returncode == 0, done.stderr
    assert f"SHA-256 {sha256}, now recorded; never verified here, from njulj/RFDN/" in done.stdout
    assert "at hand, unverified" in next(line for line in listed("networks") if line.startswith("rfdn_aim"))
    done = spinbench(*use, "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (entry,) = registry.entries("rfdn_aim")
    local_file(entry.path).write_bytes(published + b" ")  # another file of that name is not taken for it
    done = spinbench(*use, "--output", tmp_path / "again")
    assert done.returncode == 1 and f"expected {sha256}" in done.stderr


def test_what_is_not_published_at_a_scale_is_one_line() -> None:
    done = spinbench("fetch", "SMSR", "--scale", 3)
    assert done.stderr == "error: SMSR: no published checkpoint is registered at x3\n"


def test_every_unverified_checkpoint_says_where_it_is_published() -> None:
    for name in registry.networks():
        assert models.describe(name).name == name
        for entry in registry.entries(name):
            repository = models.describe(name).repository.removeprefix("https://github.com/")
            assert entry.path.removeprefix("https://github.com/").startswith(f"{repository}/")
