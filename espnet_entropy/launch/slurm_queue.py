"""Slurm's commands as functions: submit, look, cancel, start again."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

COMMAND_SECONDS = 60.0  # a controller under load may take long to answer
RETRIES = 5  # of a submission that the controller did not answer
# At most from a task's status to the end of its job, which has nothing left to do
SETTLE_SECONDS = 15.0
CANCEL_SECONDS = 120.0  # Slurm waits 30 s (KillWait) from SIGTERM to SIGKILL unless told otherwise
_TRANSIENT = re.compile(r"timed out|unable to contact|temporarily|try again|connection", re.I)
# Set inside a job, they would give this job's shape to the next; others filter what squeue shows.
_INHERITED = ("SLURM_", "SQUEUE_", "SCANCEL_", "SACCT_", "SRUN_")

# https://slurm.schedmd.com/squeue.html, job state codes: those after which nothing runs any more
ENDED = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    )
)


class TaskState(NamedTuple):
    """What the queue knows of a task: ``("PENDING", "Resources")``."""

    state: str
    reason: str


def submit(arguments: Sequence[str], name: str) -> str:
    """Submit an array whose job name nobody else uses; returns its number.

    An answer that did not come may still mean that the job is there: it is looked up by name
    before it is submitted again, and cancelled by name if that is given up.

    Raises:
        ValueError: with what ``sbatch`` or ``squeue`` said.
    """
    for attempt in range(RETRIES + 1):
        if attempt:
            time.sleep(2.0**attempt)
            try:
                jobs = named(name)
            except ValueError as error:  # submitted again now, it could be there twice
                said = str(error)
                continue
            for twin in jobs[1:]:
                cancel(twin)
            if jobs:
                return jobs[0]
            if attempt == RETRIES:
                break
        code, out, err = _run(arguments)
        found = re.search(r"^(\d+)(;.*)?$", out, re.MULTILINE)  # "number;cluster"
        if code == 0 and found:
            return found[1]
        said = f"{arguments[0]} refused the job: {err.strip() or out.strip()}{_remedy(err)}"
        if not _TRANSIENT.search(err):
            break
    if attempt:
        _run(["scancel", f"--user={_user()}", f"--name={name}"])
    raise ValueError(said)


def _remedy(message: str) -> str:
    """What to do about an error of sbatch, where its own words do not say."""
    if "array specification" in message:
        return "; a task number may be too large: fewer tasks (--nj), see MaxArraySize"
    if "SubmitJob" in message:
        return "; fewer tasks at once (--nj)"
    return "; what it was asked for comes from the launcher's options and its --config file"


def named(name: str) -> list[str]:
    """Numbers of this user's jobs of that name that have not ended, nor are about to.

    Raises:
        ValueError: if the queue cannot be asked.
    """
    states = "PENDING,RUNNING,SUSPENDED,CONFIGURING"
    code, out, err = _run(["squeue", "-h", "-u", _user(), "-n", name, "-t", states, "-o", "%F"])
    if code:
        raise ValueError(f"squeue failed: {err.strip()}; is the Slurm controller up (sinfo)?")
    return sorted(set(out.split()))


def _user() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def look(job: str) -> dict[int, TaskState] | None:
    """States of an array's tasks; ``None`` if the queue does not answer.

    Tasks that ended long ago (``MinJobAge``) are missing, unless accounting remembers them.
    """
    words = ["squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%K|%T|%r"]
    code, out, err = _run(words)
    if code and "Invalid job id" not in err:
        return None
    found = {}
    for line in out.splitlines():
        task, state, reason = line.split("|", 2)
        if task.isdigit():
            found[int(task)] = TaskState(state, reason)
    return found


def remember(job: str) -> dict[int, TaskState]:
    """As :func:`look`, of tasks that have ended, from accounting; empty if the cluster keeps none.

    Of a job whose end it has missed, accounting says for ever that it is running.
    """
    code, out, _ = _run(["sacct", "-n", "-X", "-P", "-j", job, "-o", "JobID,State"])
    found = {}
    for line in out.splitlines() if code == 0 else []:
        number, _, state = line.partition("|")
        task, state = number.partition("_")[2], state.partition(" ")[0]  # "CANCELLED by 1000"
        if task.isdigit() and state in ENDED:
            found[int(task)] = TaskState(state, "")
    return found


def cancel(job: str) -> None:
    """Cancel a job, or one task of an array (``12_3``)."""
    _run(["scancel", job])


def wait_until_gone(job: str, cancelled: bool = True) -> bool:
    """Wait for the end of a job's last task; ``False`` if it did not come.

    Args:
        job: its number.
        cancelled: it has been; otherwise that is done after :data:`SETTLE_SECONDS`.
    """
    start = asked = time.monotonic()
    pause = 0.1
    while True:
        states = look(job)
        now = time.monotonic()
        harmless = ENDED if cancelled else ENDED | {"COMPLETING"}  # the epilog takes its time
        if states is not None and all(known.state in harmless for known in states.values()):
            return True
        if now - start > CANCEL_SECONDS:
            return False
        if now - asked > SETTLE_SECONDS:
            cancel(job)
            asked, cancelled = now, True
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def end_left_behind(name: str, say: Callable[[str], None]) -> None:
    """End the jobs of that name, which a launcher that was killed left behind.

    Raises:
        ValueError: if the queue cannot be asked, or a job does not end.
    """
    for job in named(name):
        say(f"job {job} of a launcher that was killed is still there: cancelled")
        cancel(job)
        if not wait_until_gone(job):
            raise ValueError(f"squeue still shows job {job}; cancel it, and run this again.")


def requeue(job: str, task: int) -> bool | None:
    """Put a task that has ended into the queue again.

    Returns:
        ``False`` if Slurm does not want to, ``None`` if it does not answer.
    """
    code, _, err = _run(["scontrol", "requeue", f"{job}_{task}"])
    if code and _TRANSIENT.search(err):
        return None
    return code == 0


def _run(words: Sequence[str]) -> tuple[int, str, str]:
    """Exit code, stdout and stderr.

    Raises:
        ValueError: if there is no such program.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_INHERITED) or name == "SLURM_CONF"
    }
    try:
        found = subprocess.run(
            words,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=COMMAND_SECONDS,
            start_new_session=True,  # Ctrl-C must not hit a submission half-way
            check=False,
        )
    except FileNotFoundError:
        raise ValueError(
            f"no program '{words[0]}' here: submit from a machine of the cluster, or run locally "
            "(cmd_backend=local, see egs2/TEMPLATE/cmd.sh)."
        ) from None
    except subprocess.TimeoutExpired:
        return 1, "", f"{words[0]}: timed out"
    return found.returncode, found.stdout, found.stderr
