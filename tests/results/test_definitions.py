"""What the folder of a protocol's runs remembers: its protocol and experiments, wherever they came from."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import ablations
from results import ResultsError, definitions


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """An own protocol and an own experiment."""
    protocol, experiment = tmp_path / "mine.yaml", tmp_path / "own.yaml"
    protocol.write_text((ablations.PROTOCOLS / "quick.yaml").read_text().replace("title: quick", "title: Mine"))
    experiment.write_text((ablations.FOLDER / "table2.yaml").read_text().replace("Ablation of SPIN", "My own"))
    return protocol, experiment


def test_definitions_are_found_by_name_with_or_without_their_files(files: tuple[Path, Path], tmp_path: Path) -> None:
    protocol, experiment = files
    definitions.remember(str(protocol), str(experiment), tmp_path)
    definitions.remember(str(protocol), "fig7", tmp_path)
    assert definitions.protocols(tmp_path) == ["mine"]
    assert definitions.experiments("mine", tmp_path) == ["fig7", "own"]
    experiment.write_text(experiment.read_text().replace("My own", "My newer"))
    assert definitions.experiment("own", "mine", tmp_path).title == "My newer"  # the file itself, while it is there
    for path in files:
        path.unlink()
    assert definitions.protocol("mine", tmp_path).title == "Mine"
    assert definitions.experiment("own", "mine", tmp_path).title == "My own"
    with pytest.raises(ablations.AblationError, match="unknown experiment 'own'"):
        definitions.experiment("own", "quick", tmp_path)


def test_another_file_of_the_same_name_is_refused_while_both_exist(files: tuple[Path, Path], tmp_path: Path) -> None:
    protocol, _ = files
    definitions.remember(str(protocol), "table2", tmp_path)
    other = tmp_path / "elsewhere" / "mine.yaml"
    other.parent.mkdir()
    other.write_text(protocol.read_text())
    definitions.remember(str(other), "table2", tmp_path)  # a copy says the same
    other.write_text(other.read_text().replace("iterations: 60", "iterations: 61"))
    definitions.remember(str(other), "table2", tmp_path)  # an edit of the file that was used last
    with pytest.raises(ResultsError, match=r"holds runs of .*elsewhere/mine.yaml, not of .*mine.yaml; rename the file"):
        definitions.remember(str(protocol), "table2", tmp_path)
    other.unlink()  # moved, and edited
    definitions.remember(str(protocol), "table2", tmp_path)
    assert definitions.protocol("mine", tmp_path).training.iterations == 60


def test_a_built_in_name_stays_free_for_its_own(files: tuple[Path, Path], tmp_path: Path) -> None:
    _, experiment = files
    own = experiment.rename(tmp_path / "table2.yaml")
    definitions.remember("quick", str(own), tmp_path)
    assert definitions.experiment("table2", "quick", tmp_path).title == "My own"
    with pytest.raises(ResultsError, match=r"holds runs of .*table2.yaml, not of table2"):
        definitions.remember("quick", "table2", tmp_path)


def test_damage_is_named_and_mended_by_the_next_run(files: tuple[Path, Path], tmp_path: Path) -> None:
    protocol, experiment = files
    definitions.remember(str(protocol), str(experiment), tmp_path)
    kept = definitions.folder("mine", tmp_path) / "experiments" / "own.yaml"
    content = kept.read_text()
    for damaged in (content.replace("My own", "My oxn"), content[:300], "", "- 1", yaml.safe_dump({"origin": "x"})):
        kept.write_text(damaged)
        with pytest.raises(ResultsError, match=r"experiments/own.yaml: .*; run the experiment again"):
            definitions.experiment("own", "mine", tmp_path)
        definitions.remember(str(protocol), str(experiment), tmp_path)
        assert kept.read_text() == content
