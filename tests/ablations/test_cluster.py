"""What jobs on a cluster ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from ablations import AblationError, load_cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster.yaml"


def test_the_example_is_valid() -> None:
    cluster = load_cluster(EXAMPLE)
    assert cluster.gpu and cluster.minutes == 240 and cluster.parallel == 16


@pytest.mark.parametrize(
    ("time", "minutes"),
    [("00:30:00", 30), ("2-12", 3600), ("1-02:30", 1590), ("1-00:00:59", 1440), ("100:00:00", 6000), ("00:03:10", 3)],
)
def test_times(tmp_path: Path, time: str, minutes: int) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(f'time: "{time}"\n')
    assert load_cluster(file).minutes == minutes and not load_cluster(file).gpu


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("time: 14:00:00", "14:00:00 is a number of"),
        ("time: 30", "time: expected hours:minutes:seconds"),
        ('time: "4h"', "time: expected hours:minutes:seconds"),
        ('time: "01:75:00"', "time: expected hours:minutes:seconds"),
        ("partition: main", "time"),
        ('time: "01:00:00"\npartitoin: main', "partitoin"),
        ('time: "01:00:00"\npartition: "main\\n#SBATCH --uid=0"', "partition"),
        ('time: "01:00:00"\nsetup: ["module load cuda\\nrm -r x"]', "setup"),
        ('time: "01:00:00"\nmemory: much', "memory"),
        ('time: "01:00:00"\nparallel: 0', "parallel"),
        ('time: "01:00:00"\noptions: {array: 0-3}', "array cannot be an option"),
        ('time: "01:00:00"\noptions: {gpus_per_node: 1}', "gres says which GPUs"),
        ('time: "00:02:00"\nwarning: 120', "not less than the time of a job"),
        ('time: "01:00:00"\noptions: {constraint: "a\\nb"}', "options"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(text)
    with pytest.raises(AblationError) as caught:
        load_cluster(file)
    assert str(caught.value).startswith(f"{file}: ") and told in str(caught.value) and "\n" not in str(caught.value)
