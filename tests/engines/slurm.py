"""A Slurm of one node, this machine, with files and daemons of its own; from Debian's slurm-wlm and munge."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")

CONFIGURATION = """\
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmctldPort={port}
SlurmdPort={next_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_min_interval=1,batch_sched_delay=0
MpiDefault=none
MaxArraySize=3
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=4000
PartitionName=all Nodes={host} Default=YES State=UP
"""


def missing() -> str:
    """Why no Slurm can be started here; nothing if one can."""
    absent = [name for name in (*DAEMONS, "sbatch") if _found(name) is None]
    if absent:
        return f"needs Slurm: apt-get install slurm-wlm munge (not here: {', '.join(absent)})"
    return "" if os.geteuid() == 0 else "needs Slurm's daemons, which only root can start"


@contextmanager
def slurm(folder: Path, port: int) -> Iterator[Path]:
    """Start the daemons in a folder with a short path; gives the configuration, which `SLURM_CONF` must name."""
    host = os.uname().nodename.partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir()
    folder.chmod(0o755)  # munge looks at who could write there
    key = folder / "munge.key"
    key.write_bytes(os.urandom(64))
    key.chmod(0o400)
    path = folder / "slurm.conf"
    said = {"folder": folder, "host": host, "port": port, "next_port": port + 1, "cores": os.cpu_count()}
    path.write_text(CONFIGURATION.format(**said))
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munged = [_found("munged"), *(f"--{option}={folder}/munge.{end}" for option, end in files.items())]
    environment = {**os.environ, "SLURM_CONF": str(path)}
    started = []
    try:
        for command, pid in ((munged, "munge"), ([_found("slurmctld")], "slurmctld"), ([_found("slurmd")], "slurmd")):
            subprocess.run([str(word) for word in command], env=environment, check=True, capture_output=True)
            started.append(folder / f"{pid}.pid")
        deadline = time.monotonic() + 60  # sinfo may take ten seconds to say that there is no controller
        while time.monotonic() < deadline:
            states = subprocess.run(
                ["sinfo", "-h", "-o", "%t"], env=environment, capture_output=True, text=True, check=False
            )
            if states.stdout.strip() == "idle":
                break
            time.sleep(0.1)
        else:
            raise AssertionError(
                f"no idle node: {states.stdout}{states.stderr}{(folder / 'slurmctld.log').read_text()}"
            )
        yield path
    finally:
        subprocess.run(["scancel", "--user=root"], env=environment, check=False, capture_output=True)
        for pid in reversed(started):
            end(int(pid.read_text()))


def end(process: int) -> None:
    """End a daemon and wait for it."""
    os.kill(process, 15)
    for _ in range(100):
        if not Path(f"/proc/{process}").exists():
            return
        time.sleep(0.1)
    os.kill(process, 9)


def _found(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
