"""Jobs of Slurm without a Slurm: what they are asked for, and what they do when they are told to end."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ablations import Cluster
from benchmarks.runs import slurm
from results import queue

CLUSTER = Cluster(
    partition="gpu", gres="gpu:1", time="04:00:00", cpus=8, memory="32G", parallel=3, setup=["module load cuda"],
    options={"constraint": "a100", "no-kill": True, "reboot": False},
)  # fmt: skip


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in slurm.STOP}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_plain_script(tmp_path: Path) -> None:
    text = slurm.array_script(CLUSTER, "paper", tmp_path, ["-m", "spinbench", "run", "a b"], ["x-s0", "y-s0", "z-s0"])
    first, *lines = text.splitlines()
    assert first == "#!/bin/bash"
    for line in (
        "--partition=gpu", "--gres=gpu:1", "--time=04:00:00", "--cpus-per-task=8", "--mem=32G", "--array=0-2%3",
        "--signal=B:USR1@120", "--requeue", "--constraint=a100", "--no-kill",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in lines
    assert not any("reboot" in line or "account" in line for line in lines)
    assert lines[-3:-1] == ["module load cuda", "runs=(x-s0 y-s0 z-s0)"] and lines[-1].startswith("exec ")
    assert lines[-1].endswith("-m spinbench run 'a b' \"${runs[$SLURM_ARRAY_TASK_ID]}\"")
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0


def test_what_submitit_is_told() -> None:
    pytest.importorskip("submitit")
    told = slurm._parameters(CLUSTER, "paper-costs", ["7_0", "7_1", "8"], alone=True, gres=False, most=500)
    assert told["dependency"] == "afterany:7:8" and told["exclusive"] and "gres" not in told
    assert told["time"] == 240 and told["signal_delay_s"] == 120 and "--ntasks=1" in told["srun_args"]
    assert told["additional_parameters"] == {"constraint": "a100", "no-kill": True, "requeue": True, "mem": "32G"}


class Controller:
    """What squeue and scontrol answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: dict[str, queue.Queued] | None) -> None:
        self.answers = list(answers)
        self.requeued: list[str] = []
        monkeypatch.setenv("SLURM_JOB_ID", "12")
        monkeypatch.setattr(slurm, "queue", lambda: self.answers.pop(0))
        monkeypatch.setattr(slurm, "_PAUSE_S", 0.0)
        monkeypatch.setattr(subprocess, "run", self.run)

    def run(self, command: list[str], **_: Any) -> None:
        assert command[:2] == ["scontrol", "requeue"]
        self.requeued.append(command[2])


@pytest.mark.parametrize("number", slurm.STOP)
def test_a_stopped_job_goes_back_into_the_queue(monkeypatch: pytest.MonkeyPatch, handlers: None, number: int) -> None:
    slurm_of_site = Controller(monkeypatch, None, {"12": queue.Queued("RUNNING")})  # it does not answer at first
    seen: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(signal.SIGTERM)  # Slurm sends several
            seen.append("put away")

    with pytest.raises(SystemExit) as ended:
        slurm.requeued_if_stopped(work)
    assert ended.value.code == 0 and slurm_of_site.requeued == ["12"] and seen == ["put away"]


@pytest.mark.parametrize("answer", [{}, {"12": queue.Queued("COMPLETING")}, {"12": queue.Queued("PENDING")}])
def test_what_was_cancelled_or_is_back_already_is_left(
    monkeypatch: pytest.MonkeyPatch, handlers: None, answer: dict[str, queue.Queued]
) -> None:
    slurm_of_site = Controller(monkeypatch, answer)
    with pytest.raises(SystemExit):
        slurm.requeued_if_stopped(lambda: signal.raise_signal(signal.SIGTERM))
    assert not slurm_of_site.requeued


def test_a_silent_controller_is_reported(monkeypatch: pytest.MonkeyPatch, handlers: None) -> None:
    Controller(monkeypatch, *[None] * 6)
    with pytest.raises(slurm.SlurmError, match="the same command resumes"):
        slurm.requeued_if_stopped(lambda: signal.raise_signal(signal.SIGUSR1))


def test_errors_of_the_work_are_its_own(monkeypatch: pytest.MonkeyPatch, handlers: None) -> None:
    slurm_of_site = Controller(monkeypatch)

    def fail() -> None:
        raise ValueError("of the work")

    with pytest.raises(ValueError, match="of the work"):
        slurm.requeued_if_stopped(fail)
    assert not slurm_of_site.requeued


def test_the_queue_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tool = tmp_path / "squeue"
    tool.write_text("#!/bin/sh\necho '12_3|PENDING|Priority'\necho '12_4|RUNNING|None'\necho '13|PENDING|Reason|odd'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert queue.queue() == {
        "12_3": queue.Queued("PENDING", "Priority"),
        "12_4": queue.Queued("RUNNING"),
        "13": queue.Queued("PENDING", "Reason|odd"),
    }
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert queue.queue() is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert queue.queue() is None


def test_the_id_of_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    assert queue.this_job() is None
    monkeypatch.setenv("SLURM_JOB_ID", "14")
    assert queue.this_job() == "14"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert queue.this_job() == "12_3"


@pytest.mark.parametrize(
    ("told", "most"),
    [("Configuration data\nMaxArraySize            = 101\nMaxJobCount = 10000\n", 100), ("nothing of arrays\n", 1000)],
)
def test_an_array_is_not_longer_than_the_site_allows(monkeypatch: pytest.MonkeyPatch, told: str, most: int) -> None:
    answer = subprocess.CompletedProcess(["scontrol"], 0, told, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: answer)
    assert slurm.most_of_array() == most


def test_an_array_without_an_answer_has_slurms_usual_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert slurm.most_of_array() == 1000


def test_a_folder_whose_name_slurm_would_replace_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    with pytest.raises(slurm.SlurmError, match="replaces % in the paths"):
        slurm.submit([print], CLUSTER, tmp_path / "50%j", "paper")
    assert not (tmp_path / "50%j").exists()


def test_why_slurm_refused_to_put_a_job_back(monkeypatch: pytest.MonkeyPatch) -> None:
    Controller(monkeypatch, *[{"12": queue.Queued("RUNNING")}] * slurm._TRIES)

    def refuse(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command, stderr="scontrol: error: Access/permission denied\n")

    monkeypatch.setattr(subprocess, "run", refuse)
    with pytest.raises(slurm.SlurmError, match="job 12: scontrol: error: Access/permission denied; the job is not"):
        slurm._requeue()
