"""Run a sweep's jobs through a launcher, watch them, and tell how it went."""

from __future__ import annotations

import ctypes
import logging
import shlex
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.launch.sweep_job import Job, last_lines
from espnet_entropy.utils.files import atomic_write

INTERVAL = 0.5  # seconds between two looks at the jobs
GRACE = 150.0  # seconds that a cancelled launcher gets to end its tasks; slurm.pl may need 120
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_jobs(
    jobs: Sequence[Job],
    root: Path,
    launcher: Sequence[str],
    at_a_time: int,
    further: Sequence[str] = (),
) -> None:
    """Run every job; one that fails does not stop the others.

    Args:
        jobs: those to run.
        root: of the sweep; the launcher's logs go to ``<root>/logs``.
        launcher: a command with the interface of ``run.pl``.
        at_a_time: jobs at the same time.
        further: options of this call that make no other job (``--remake true``, stages).

    Raises:
        ValueError: if the launcher cannot run them.
    """
    if not jobs:
        return
    for job in jobs:
        job.write_script()
    queue = root / "queue"
    with atomic_write(queue) as stream:
        stream.writelines(f"{job.script}\n" for job in jobs)
    inner = f"exec bash \"$(sed -n 'JOBp' {shlex.quote(str(queue))})\" {shlex.join(further)}"
    command = [*launcher, "--max-jobs-run", str(at_a_time), f"JOB=1:{len(jobs)}"]
    command += [str(root / "logs/JOB.log"), "bash", "-c", inner]
    log = root / "logs/launcher.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    # a file, since a pipe that nobody reads fills up and then holds the launcher
    with open(log, "wb") as stream:
        # if this process is killed the launcher hears of it and ends its tasks: none is left behind
        process = subprocess.Popen(command, preexec_fn=_die_with_parent, stderr=stream)
    try:
        _watch(process, jobs)
    except BaseException:
        process.terminate()
        process.wait(GRACE)
        raise
    if all(job.exit_status() is None for job in jobs):
        said = "\n".join(last_lines(log)).strip() or "nothing"
        raise ValueError(f"no row was run; {shlex.join(launcher)} says ({log}): {said}")


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _watch(process: subprocess.Popen[bytes], jobs: Sequence[Job]) -> None:
    """Say which jobs have ended, and how long the rest may take, until the launcher ends."""
    waiting, failed, start = list(jobs), 0, time.monotonic()
    while True:
        running = process.poll() is None
        for job in [job for job in waiting if job.exit_status() is not None]:
            waiting.remove(job)
            failed += job.exit_status() != 0
            ended = len(jobs) - len(waiting)
            left = (time.monotonic() - start) / ended * len(waiting)
            logging.info(
                "%s: %s; %d of %d ended%s, about %s left",
                job.name,
                "done" if job.exit_status() == 0 else f"failed, see {job.log}",
                ended,
                len(jobs),
                f", {failed} failed" if failed else "",
                duration(left),
            )
        if not running:
            return
        time.sleep(INTERVAL)


def duration(seconds: float) -> str:
    """For people.

    Example:
        >>> duration(59), duration(3725)
        ('0:00:59', '1:02:05')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def failures(jobs: Sequence[Job]) -> list[str]:
    """What to say of each job that did not end well: its name, exit status and last lines."""
    found = []
    for job in jobs:
        status = job.exit_status()
        if status != 0:
            how = "did not end" if status is None else f"exit status {status}"
            lines = "".join(f"\n    {line}" for line in last_lines(job.log))
            found.append(f"{job.name}: {how}; {job.log}:{lines}")
    return found
