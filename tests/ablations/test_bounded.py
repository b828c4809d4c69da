"""YAML whose aliases stand for more than a machine can hold is refused before it is looked at."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import ablations
from ablations.bounded import PlainLoader

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "reason"), [(BOMB, "more than 100000 values, which its aliases repeat"), ("a: &a [*a]", "contains itself")]
)
def test_aliases_are_bounded_in_definitions_and_stored_runs(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    for load in (ablations.load_experiment, ablations.load_protocol):
        with pytest.raises(ablations.AblationError, match=rf"mine\.yaml: not valid YAML .*{reason}"):
            load(str(file))
    with pytest.raises(ValueError, match=reason):
        ablations.parsed(text)
    with pytest.raises(yaml.YAMLError, match=reason):
        yaml.load(text, PlainLoader)


@pytest.mark.parametrize("opened", ["[", "{a: ", "- "])
def test_a_file_that_would_overflow_the_stack_is_refused(opened: str) -> None:
    with pytest.raises(yaml.YAMLError, match="deeper than 100 levels"):
        yaml.load(opened * 100_000, PlainLoader)
    assert yaml.load("[" * 90 + "]" * 90 + " " * 20_000, PlainLoader)


def test_usual_aliases_stay() -> None:
    text = "a: &a {x: 1}\nb: {z: *a, y: [*a, *a]}"
    assert ablations.parsed(text) == yaml.load(text, PlainLoader) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("line", "wrong", "most"),
    [
        ("iterations: 4", "iterations: 1000000000000", "1000000000"),
        ("batch_size: 1", "batch_size: 1000000000", "65536"),
        ("lr_patch: 32", "lr_patch: 1000000000", "65536"),
        ("repeats: 2", "repeats: 1000000000", "10000"),
        ("checkpoint_every: 2", "checkpoint_every: 2\n  workers: 1000000000", "1024"),
    ],
)
def test_numbers_that_no_machine_has_are_refused(line: str, wrong: str, most: str, tmp_path: Path) -> None:
    plain = (Path(__file__).parents[1] / "tiny.yaml").read_text()
    assert line in plain
    file = tmp_path / "mine.yaml"
    file.write_text(plain.replace(line, wrong))
    with pytest.raises(ablations.AblationError, match=rf"less than or equal to {most} \(found 10+\)"):
        ablations.load_protocol(str(file))
