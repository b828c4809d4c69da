"""Table 2 through a real Slurm: interrupted in every way, with the results of an uninterrupted run on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from results import Run, activity
from tests.slurm.controller import Slurm, reason_against, until

pytest.importorskip("submitit", reason="submitit is not installed")
if found := reason_against():
    pytest.skip(found, allow_module_level=True)

HERE = Path(__file__).parent
PROTOCOL = HERE / "slurm.yaml"
VARIANTS = ("full", "patch")
CLUSTER = 'partition: main\ntime: "00:20:00"\ncpus: 1\nwarning: 30\nsetup: [export FROM_SETUP=1]\nscratch: {scratch}\n'


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    started = Slurm(tmp_path_factory.mktemp("slurm"))
    yield started
    started.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "cluster.yaml"
    file.write_text(CLUSTER.format(scratch=folder / "scratch"))
    return file


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the same experiment, executed here without an interruption."""
    folder = tmp_path_factory.mktemp("local")
    done = spinbench(folder, "--threads", "1")
    assert done.returncode == 0, done.stderr
    return folder


def spinbench(folder: Path, *options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spinbench", "run", "table2", "--protocol", PROTOCOL, "--only", ",".join(VARIANTS)]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    return subprocess.run(
        [*map(str, command), "--results", str(folder), *map(str, options)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip


def runs(folder: Path) -> list[Run]:
    return [Run("slurm", variant, 4, 0, folder) for variant in VARIANTS]


def job_of(run: Run) -> str:
    told = activity.read_activity(activity.activity_file(run))
    assert told and told.job
    return told.job


def until_step(run: Run, step: int) -> str:
    """Wait until a training has made so many steps; its job."""

    def there() -> bool:
        told = activity.read_activity(activity.activity_file(run))
        return bool(told and told.stage == "train" and told.done >= step)

    until(there, 180, f"step {step} of {run.name}", pause=0.1)
    return job_of(run)


def products(folder: Path) -> dict[str, bytes]:
    """What a run's outcome is: its weights, and its images' PSNR and SSIM."""
    files = ("weights.safetensors", "quality.csv")
    return {f"{run.name}/{file}": run.path(file).read_bytes() for run in runs(folder) for file in files}


def test_interrupted_jobs_give_the_results_of_a_local_run(
    slurm: Slurm, cluster: Path, local: Path, tmp_path: Path
) -> None:
    import submitit

    submitted = spinbench(tmp_path, "--executor", "slurm", "--cluster", cluster)
    assert submitted.returncode == 0, submitted.stderr
    again = spinbench(tmp_path, "--executor", "slurm", "--cluster", cluster)
    assert "being executed already: " in again.stdout and "full-x4-s0 (" in again.stdout
    assert "costs: job" not in again.stdout
    full, patch = runs(tmp_path)
    subprocess.run(["scontrol", "requeue", until_step(full, 3)], check=True)  # as an operator, or a pre-emption
    job = until_step(patch, 5)
    submitit.SlurmJob(tmp_path / "slurm", job)._interrupt(timeout=True)  # the end of its time
    until(lambda: slurm.jobs()[job].state == "PENDING", 60, f"job {job} to be requeued")
    waiting = rows(tmp_path, "patch")
    assert waiting["state"] == "queued" and waiting["job"] == job and waiting["step"] >= 5
    slurm.begin_waiting()
    until_step(patch, 25)
    slurm.kill_controller()
    slurm.start_controller()
    slurm.wait_for_all(600)
    assert products(tmp_path) == products(local)
    for run in runs(tmp_path):
        assert "goes back into the queue" in run.path("run.log").read_text() or run == full
        assert run.path("cost.json").is_file()
        assert run.provenance()["train"]["earlier"], "it was not interrupted"
    assert (tmp_path / "report" / "slurm" / "index.html").is_file()
    finished = spinbench(tmp_path, "--executor", "slurm", "--cluster", cluster)
    assert finished.returncode == 0 and ": job" not in finished.stdout
    assert not slurm.jobs()


def rows(folder: Path, variant: str) -> dict[str, object]:
    command = [sys.executable, "-m", "spinbench", "status", "table2", "--protocol", str(PROTOCOL), "--json"]
    told = subprocess.run([*command, "--results", str(folder)], capture_output=True, text=True, check=True).stdout
    return next(row for row in json.loads(told) if row["variant"] == variant)


def test_a_cancelled_job_stays_cancelled_and_the_same_command_resumes_it(
    slurm: Slurm, cluster: Path, local: Path, tmp_path: Path
) -> None:
    spinbench(tmp_path, "--executor", "slurm", "--cluster", cluster)
    full, _ = runs(tmp_path)
    job = until_step(full, 4)
    subprocess.run(["scancel", job], check=True)
    until(lambda: job not in slurm.jobs(), 60, f"the end of job {job}")
    slurm.wait_for_all(600)
    assert not full.path("weights.safetensors").exists() and full.path("checkpoint.pt").is_file()
    assert rows(tmp_path, "full")["state"] == "unfinished"
    again = spinbench(tmp_path, "--executor", "slurm", "--cluster", cluster)
    assert "1 run: job" in again.stdout
    slurm.wait_for_all(600)
    assert products(tmp_path) == products(local)


def test_the_plain_script_does_the_same(slurm: Slurm, cluster: Path, local: Path, tmp_path: Path) -> None:
    printed = spinbench(tmp_path, "--cluster", cluster, "--print-sbatch")
    assert printed.returncode == 0, printed.stderr
    script = tmp_path / "runs.sh"
    script.write_text(printed.stdout)
    subprocess.run(["sbatch", str(script)], check=True)
    job = until_step(runs(tmp_path)[1], 4)
    subprocess.run(["scancel", "--batch", "--signal=USR1", job], check=True)  # what --signal=B:USR1 sends
    until(lambda: slurm.jobs()[job].state == "PENDING", 60, f"job {job} to be requeued")
    slurm.wait_for_all(600)
    assert products(tmp_path) == products(local)
