"""References on disk: what is stored comes back, reasons are kept, damage is named."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from results import ResultsError, references, sha256
from results.references import Cost, Measured, NetworkRecord, Timing

NAME = "quick/full-x4-s0"


@pytest.fixture
def measured() -> Measured:
    quality = pd.DataFrame(
        [("Set5", "stored-replicate", "007", 28.123456, np.inf), ("Set5", "stored-replicate", "nan", 30.5, 0.87654321)],
        columns=["dataset", "lr_origin", "image", "ssim", "psnr"],
    )
    samples = pd.DataFrame([("Set5", "007", 0, 3, 255, 0, 7)], columns=references.SAMPLES)
    return Measured(
        NetworkRecord("spin", 4, {"blocks": 8, "superpixel_sizes": [12, 16]}, "1" * 64),
        {"Set5": "2" * 64},
        Cost(5, 7, 11, {"PyTorch": Timing((0.5, 0.25), (0.125, 0.0625), (64, 64), "cpu", "a CPU", "AVX2")}),
        quality[references.QUALITY],
        samples,
        {"versions": {"torch": "2.13.0"}, "finished": "2025-01-01T00:00:00+00:00"},
    )


def test_what_is_stored_comes_back(measured: Measured, tmp_path: Path) -> None:
    assert references.reference_names(tmp_path) == []
    references.store_reference(NAME, measured, "first", root=tmp_path)
    assert references.reference_names(tmp_path) == [NAME]
    found = references.load_reference(NAME, tmp_path)
    assert (found.name, found.folder, found.weights) == (NAME, tmp_path / "reference" / NAME, None)
    assert (found.measured.network, found.measured.data, found.measured.cost) == (
        measured.network, measured.data, measured.cost,
    )  # fmt: skip
    pd.testing.assert_frame_equal(found.measured.quality, measured.quality)
    pd.testing.assert_frame_equal(found.measured.samples, measured.samples)


def test_every_reason_is_kept(measured: Measured, tmp_path: Path) -> None:
    references.store_reference(NAME, measured, "first", root=tmp_path)
    later = replace(measured, provenance={"versions": {"torch": "2.14.0"}})
    found = references.store_reference(NAME, later, " another torch\n", root=tmp_path)
    assert [record["reason"] for record in found.history] == ["first", "another torch"]
    assert [record["versions"]["torch"] for record in found.history] == ["2.13.0", "2.14.0"]
    assert found.measured.provenance["versions"] == {"torch": "2.14.0"}
    with pytest.raises(ValueError, match="reason"):
        references.store_reference(NAME, later, "  ", root=tmp_path)


def test_weights_are_copied(measured: Measured, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    network = replace(measured.network, weights=sha256(weights))
    measured = replace(measured, network=network)
    found = references.store_reference(NAME, measured, "first", weights, tmp_path)
    assert found.weights is not None
    assert found.weights.read_bytes() == b"weights"
    references.store_reference(NAME, measured, "measured anew from its own weights", found.weights, tmp_path)
    assert found.weights.read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["full", "../quick/full", "quick/..", "/quick/full", "quick/full/x", "", "a\\b/c"])
def test_names_stay_below_the_folder(measured: Measured, tmp_path: Path, name: str) -> None:
    with pytest.raises(ResultsError, match="expected <protocol>/<run>"):
        references.store_reference(name, measured, "first", root=tmp_path)
    assert not (tmp_path / "reference").exists()


def test_an_unknown_name_is_told_with_the_known_ones(measured: Measured, tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"no reference 'quick/x', expected one of \(none is stored\)"):
        references.load_reference("quick/x", tmp_path)
    references.store_reference(NAME, measured, "first", root=tmp_path)
    with pytest.raises(ResultsError, match=f"expected one of {NAME}"):
        references.load_reference("quick/x", tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("reference.json", "{", "reference.json: content: Invalid JSON"),
        ("reference.json", '{"network": {"model": "spin"}}', r"reference.json: network.scale: Field required"),
        ("quality.csv", "dataset,psnr\n", "quality.csv: damaged or replaced"),
        ("quality.csv", "", "quality.csv: damaged or replaced"),
        ("samples.csv", None, "samples.csv: damaged or replaced"),
        ("weights.safetensors", "others", "weights.safetensors: damaged or replaced"),
    ],
)
@pytest.mark.parametrize("command", [references.load_reference, "store"])
def test_damage_is_named(
    measured: Measured, tmp_path: Path, file: str, content: str | None, message: str, command: object
) -> None:
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"weights")
    measured = replace(measured, network=replace(measured.network, weights=sha256(weights)))
    path = references.store_reference(NAME, measured, "first", weights, tmp_path).folder / file
    if content is None:
        path.unlink()
    else:
        path.write_text(content)
    with pytest.raises(ResultsError, match=message):
        if command == "store":  # its reasons would be lost
            references.store_reference(NAME, measured, "second", weights, tmp_path)
        else:
            references.load_reference(NAME, tmp_path)


def test_no_flipped_bit_of_a_reference_goes_unnoticed(measured: Measured, tmp_path: Path) -> None:
    folder = references.store_reference(NAME, measured, "first", root=tmp_path).folder
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for position in range(0, len(content), 11):
            damaged = bytearray(content)
            damaged[position] ^= 2
            path.write_bytes(damaged)
            try:
                found = references.load_reference(NAME, tmp_path)
            except ResultsError as error:
                assert path.name in str(error)
            else:  # white space between the tokens of JSON
                assert path.name == "reference.json" and found.measured.network == measured.network
                assert json.loads(bytes(damaged)) == json.loads(content)
        path.write_bytes(content)


def test_a_table_of_another_shape_is_refused(measured: Measured, tmp_path: Path) -> None:
    """Also in a reference that was written before files had checksums."""
    folder = references.store_reference(NAME, measured, "first", root=tmp_path).folder
    description = json.loads((folder / "reference.json").read_text())
    older = {key: value for key, value in description.items() if key not in ("files", "hash")}
    (folder / "reference.json").write_text(json.dumps(older))
    references.load_reference(NAME, tmp_path)
    for content, message in (
        ("dataset,psnr\n", "quality.csv: .*expected the columns dataset, lr_origin, image, psnr, ssim"),
        ("dataset,lr_origin,image,psnr,ssim\na,b,c,high,0.5\n", r"quality.csv: .*'high'"),
    ):
        (folder / "quality.csv").write_text(content)
        with pytest.raises(ResultsError, match=message):
            references.load_reference(NAME, tmp_path)


def test_history_must_not_be_empty(measured: Measured, tmp_path: Path) -> None:
    path = references.store_reference(NAME, measured, "first", root=tmp_path).folder / "reference.json"
    content = {**json.loads(path.read_text()), "history": []}
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in ("files", "hash")}))
    with pytest.raises(ResultsError, match="history: expected at least one record"):
        references.load_reference(NAME, tmp_path)


def test_a_reference_of_the_first_format_is_read_without_its_latency(measured: Measured, tmp_path: Path) -> None:
    path = references.store_reference(NAME, measured, "first", root=tmp_path).folder / "reference.json"
    content = json.loads(path.read_text())
    content["cost"]["timing"] = content["cost"].pop("timings")["PyTorch"]
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in ("files", "hash")}))
    cost = references.load_reference(NAME, tmp_path).measured.cost
    assert cost is not None
    assert (cost.macs, cost.memory_bytes, cost.timings) == (7, 11, {})
