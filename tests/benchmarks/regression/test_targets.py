"""What is asked to be checked: runs, weights, experiments, networks; and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import models
import results
from benchmarks.data.sources import Local
from benchmarks.networks import NetworkError
from benchmarks.regression.references import TargetError, find
from results import ResultsError, references
from results.references import Reference
from tests.benchmarks.regression.planted import NAME
from tests.benchmarks.stored_runs import file_of, run_of


def test_a_run_by_its_folder_or_its_weights(reference: Reference, run: Path) -> None:
    for target in (run, run / "weights.safetensors"):
        ((network, name_of_reference),) = find([str(target)])
        assert (network.name, name_of_reference) == (NAME, NAME)
        assert network.weights == Local(run / "weights.safetensors")
        found = network.record()
        assert (found.weights, found.config) == (reference.measured.network.weights, reference.measured.network.config)
        assert found.training not in (None, reference.measured.network.training)


def test_weights_say_what_they_are(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", "spin", 2, {"blocks": 1})
    file = file_of(tmp_path / "copy.safetensors", "spin", 2, {"blocks": 1})
    for target, name in ((run, "quick/mine-x2-s0"), (file, "quick/mine-x2-s3")):
        ((network, name_of_reference),) = find([str(target)])
        assert (network.name, name_of_reference) == (name, name)
        assert (network.scale, network.config["blocks"]) == (2, 1)
        assert network.record().training
        with pytest.raises(NetworkError, match=r"requested x3, but .* says x2"):
            find([str(target)], scale=3)
        with pytest.raises(NetworkError, match=r"requested imdn, but .* says spin"):
            find([str(target)], model="imdn")


def test_an_experiment_by_its_runs_that_have_a_reference(run: Path, reference: Reference, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="none of 1 finished runs of table2 has a reference"):
        find(["table2"], root=tmp_path)
    assert [network.name for network, _ in find(["table2"], new=True, root=tmp_path)] == [NAME]
    references.store_reference(NAME, reference.measured, "first", root=tmp_path)
    assert [network.name for network, _ in find(["table2"], root=tmp_path)] == [NAME]


def test_published_weights_by_the_network(mirror_folder: Path) -> None:
    ((network, reference),) = find(["imdn"], scale=2)
    assert reference == "published/imdn-x2-s0"
    assert network.scale == 2
    with torch.no_grad():
        model = network.module()
        assert network.weights is not None
        expected = models.load_published("imdn", 2, network.weights.locate())
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize(
    ("targets", "options", "error", "message"),
    [
        (["nothing"], {}, TargetError, "nothing: expected weights, a run's folder, an experiment or a network"),
        (["{file}"], {}, TargetError, f"expected a reference .stored: .*{NAME}"),
        (
            ["{file}"],
            {"reference": "quick/new"},
            TargetError,
            "quick/new is new, its model is not given: expected one",
        ),
        (["{file}"], {"reference": NAME, "model": "imdn"}, TargetError, "model imdn: .* is of spin"),
        (["{file}"], {"reference": NAME, "scale": 2}, TargetError, "scale 2: .* is of x4"),
        (["{file}"], {"reference": NAME, "protocol": "cpu"}, TargetError, "protocol cpu: does not apply to .*w.safe"),
        (["{folder}"], {"reference": NAME}, NetworkError, "weights.safetensors: no such file"),
        (["imdn"], {"model": "carn"}, TargetError, "model carn: does not apply to imdn"),
        (["table2"], {"scale": 2}, TargetError, "scale 2: does not apply to the runs of table2"),
        (["table2"], {"reference": NAME}, TargetError, f"reference {NAME}: does not apply to the runs of table2"),
        ([], {"scale": 2}, TargetError, "scale 2: does not apply to stored references"),
        (["a", "b"], {"reference": NAME}, TargetError, "expected one network to compare with it, not 2"),
        ([], {"reference": "quick/other"}, ResultsError, "no reference 'quick/other', expected one of quick/bicubic"),
        (["table2"], {"protocol": "paper"}, ResultsError, "none of 0 finished runs of table2 has a reference"),
        (["srcnn"], {}, NetworkError, "srcnn x4: no published checkpoint is registered"),
    ],
)
def test_what_cannot_be_checked(
    tmp_path: Path, targets: list[str], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    safetensors.torch.save_file({}, tmp_path / "w.safetensors")
    (tmp_path / "empty").mkdir()
    named = [target.format(file=tmp_path / "w.safetensors", folder=tmp_path / "empty") for target in targets]
    with pytest.raises(error, match=message):
        find(named, **options)


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("protocol: quick\n")
    with pytest.raises(
        NetworkError, match=r"run\.yaml: cannot be used \(stages: expected a mapping of stages to settings\)"
    ):
        find([str(tmp_path)])


def test_the_committed_reference_is_whole() -> None:
    """Its weights are those that its numbers come from."""
    for name in references.reference_names():
        stored = references.load_reference(name)
        if stored.weights:
            ((network, _),) = find([], reference=name)
            ((rehashed, _),) = find([str(stored.weights)], reference=name)
            assert rehashed.record() == network.record() == stored.measured.network
    assert {NAME, "quick/bicubic-x4-s0"} <= set(references.reference_names(results.ROOT))
