#!/usr/bin/env python3
"""A real Slurm of two virtual nodes on this machine, for tests, benches and trying things out.

    python tools/virtual_slurm.py start DIR     prints what to put into the environment
    python tools/virtual_slurm.py repair DIR    starts the nodes whose daemon was killed
    python tools/virtual_slurm.py stop DIR

    eval "$(python tools/virtual_slurm.py start /tmp/slurm)"; sinfo

Needs Debian's packages (apt-get install slurm-wlm munge), no root, no systemd. Ports are free ones
and everything else is in DIR (short: it holds sockets), so several can run at the same time.
Each node has 4 CPUs, 8 GB and 2 GPUs by name; the GPUs are stand-ins that nothing can compute on.
"""

from __future__ import annotations

import argparse
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "srun")
NODES = ("127.0.0.1", "127.0.0.2")  # named by address, so that the first rank's name resolves
STAND_INS = ("null", "zero")  # for the GPUs of each node
START_SECONDS = 60.0
CONFIGURATION = """\
ClusterName=virtual
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthInfo=socket={folder}/run/munge.sock,cred_expire=5
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/ctld
SlurmdSpoolDir={folder}/d/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=30
KillWait=5
MinJobAge=3600
GresTypes=gpu
NodeName=127.0.0.1 NodeHostname={host} Port={ports[1]} CPUs=4 RealMemory=8000 Gres=gpu:2
NodeName=127.0.0.2 NodeHostname={host} Port={ports[2]} CPUs=4 RealMemory=8000 Gres=gpu:2
PartitionName=cpu Nodes=ALL Default=YES
PartitionName=gpu Nodes=ALL
"""


def path_with_daemons() -> str:
    """``PATH`` with the places where Debian keeps the daemons."""
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])


def missing_programs() -> list[str]:
    """Those of :data:`PROGRAMS` that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name, path=path_with_daemons()) is None]


def start(folder: Path) -> None:
    """Start it, and wait until both nodes are idle.

    Raises:
        RuntimeError: if programs are missing, the folder is in use, or it does not come up.
    """
    if missing := missing_programs():
        raise RuntimeError(f"no {', '.join(missing)} here: apt-get install slurm-wlm munge")
    if folder.is_dir() and any(folder.iterdir()):
        raise RuntimeError(f"{folder} is not empty: `stop` what runs there and remove it")
    for name in ("run", "log", "ctld", "d"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)  # munge wants it so for its socket
    (folder / "run/munge.key").write_bytes(os.urandom(128))
    (folder / "run/munge.key").chmod(0o600)
    host = socket.gethostname().split(".")[0]
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(folder=folder, host=host, user=getpass.getuser(), ports=_free_ports(3))
    )
    # any device files do: nothing is computed on them
    gpus = [f"NodeName={node} Name=gpu File=/dev/{file}\n" for node in NODES for file in STAND_INS]
    (folder / "gres.conf").write_text("".join(gpus))
    try:
        _run(folder, "munged", *_munge_options(folder))
        _run(folder, "slurmctld", "-c")
        repair(folder)
    except BaseException:
        stop(folder)
        raise


def repair(folder: Path) -> None:
    """Start the nodes whose daemon does not run, and wait until all are idle.

    Raises:
        RuntimeError: if they do not come up.
    """
    alive = _daemons(folder)
    for node in NODES:
        if alive.get(f"slurmd.{node}.pid") is None:
            _run(folder, "slurmd", "-N", node)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if _node_states(folder) == ["idle"] * len(NODES):
            return
        time.sleep(0.1)
    raise RuntimeError(f"the nodes did not become idle; see {folder}/log")


def stop(folder: Path) -> None:
    """End its jobs and daemons; those that do not listen are killed."""
    environment = _environment(folder)
    munge = ["munged", "--stop", *_munge_options(folder)]
    for words in (["scancel", "-u", getpass.getuser()], ["scontrol", "shutdown"], munge):
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(words, env=environment, capture_output=True, check=False, timeout=30)
    deadline = time.monotonic() + 4
    while (left := _daemons(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in left.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _run(folder: Path, *words: str) -> None:
    found = subprocess.run(words, env=_environment(folder), capture_output=True, text=True)
    if found.returncode:
        raise RuntimeError(f"{' '.join(words)}: {found.stderr.strip()}")


def _environment(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return {**inherited, "PATH": path_with_daemons(), "SLURM_CONF": str(folder / "slurm.conf")}


def _munge_options(folder: Path) -> list[str]:
    run = folder / "run"
    return [
        f"--key-file={run}/munge.key",
        f"--socket={run}/munge.sock",
        f"--pid-file={run}/munged.pid",
        f"--log-file={folder}/log/munged.log",
        f"--seed-file={run}/munged.seed",
    ]


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _node_states(folder: Path) -> list[str]:
    words = ["timeout", "2", "sinfo", "-hN", "-p", "cpu", "-o", "%t"]
    found = subprocess.run(words, env=_environment(folder), capture_output=True, text=True)
    return found.stdout.split()


def _daemons(folder: Path) -> dict[str, int]:
    """Those that noted their process number in ``run`` and live."""
    found = {}
    for path in folder.glob("run/*.pid"):
        with suppress(OSError, ValueError):
            pid = int(path.read_text())
            # by now the number may be another program's
            if Path(f"/proc/{pid}/comm").read_text().strip() == path.name.split(".")[0]:
                found[path.name] = pid
    return found


def main() -> None:
    """Start or stop one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["start", "repair", "stop"])
    parser.add_argument("folder", type=Path, help="an empty or new folder with a short path")
    args = parser.parse_args()
    folder = args.folder.resolve()
    try:
        {"start": start, "repair": repair, "stop": stop}[args.action](folder)
    except (RuntimeError, OSError) as error:
        sys.exit(f"virtual_slurm: error: {error}")
    if args.action == "start":
        values = {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": path_with_daemons()}
        print("export", *(f"{name}={shlex.quote(value)}" for name, value in values.items()))


if __name__ == "__main__":
    main()
