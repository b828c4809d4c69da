"""A real Slurm with a single node, whose state lies in one folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from results.queue import Queued, queue

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue")
_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def reason_against() -> str | None:
    """Why no Slurm can be started here; None if one can."""
    if os.name != "posix" or os.geteuid() != 0:
        return "a Slurm of its own needs root"
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return f"Slurm is not installed (no {', '.join(missing)}); Debian has it as slurm-wlm and munge"
    return None


class Slurm:
    """The daemons, and what a test asks of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        key = folder / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        folder.chmod(0o755)  # munged insists
        ports = [_free_port(), _free_port()]
        host = socket.gethostname().partition(".")[0]
        self.conf = folder / "slurm.conf"
        self.conf.write_text(_CONF.format(host=host, folder=folder, ports=ports, cores=os.cpu_count()))
        os.environ["SLURM_CONF"] = str(self.conf)
        files = {
            "pid-file": "munged.pid",
            "log-file": "munged.log",
            "seed-file": "munge.seed",
            "socket": "munge.socket",
        }
        options = [f"--{option}={folder}/{name}" for option, name in files.items()]
        self._processes = [_start("munged", "--foreground", "--force", f"--key-file={key}", *options)]
        until(lambda: (folder / "munge.socket").exists(), 10, "munged")
        self.start_controller()
        self._processes.append(_start("slurmd", "-D"))
        until(lambda: "idle" in _output("sinfo", "-h", "-o", "%T"), 30, "an idle node")

    def start_controller(self) -> None:
        self.controller = _start("slurmctld", "-D")
        until(lambda: "UP" in _output("scontrol", "ping"), 30, "slurmctld")

    def kill_controller(self) -> None:
        self.controller.kill()
        self.controller.wait()

    def stop(self) -> None:
        subprocess.run(["scancel", "--me"], check=False)
        for process in [self.controller, *reversed(self._processes)]:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def jobs(self) -> dict[str, Queued]:
        return queue() or {}

    def begin_waiting(self) -> None:
        """Let requeued jobs begin at once, for which Slurm would let two minutes pass."""
        for job, one in self.jobs().items():
            if one.reason == "BeginTime":
                subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=False)

    def wait_for_all(self, seconds: float) -> None:
        """Until no job is left."""

        def empty() -> bool:
            self.begin_waiting()
            return queue() == {}

        until(empty, seconds, f"the end of {self.jobs()}", pause=0.5)


def until(true: Callable[[], bool], seconds: float, what: str, pause: float = 0.2) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(pause)


def _start(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _free_port() -> int:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return int(own.getsockname()[1])
