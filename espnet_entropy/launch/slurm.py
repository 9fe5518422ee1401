"""Tasks as one Slurm array, and ``slurm.pl``.

A task has ended when its status file says so. Only for tasks without one is the queue asked, once
per poll: they wait, run, or have ended in a way that left no time to write a status. A task that
Slurm itself ended (time limit, preemption, a lost node), or whoever else sent it SIGTERM, is put
into the queue again under the same number; its command is expected to go on from what it has
finished.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from espnet_entropy.launch import run, slurm_queue
from espnet_entropy.launch.grammar import HELP, HELP_SLURM, Request
from espnet_entropy.launch.plan import ARRAY, Plan
from espnet_entropy.launch.slurm_conf import SlurmConfig
from espnet_entropy.launch.slurm_queue import ENDED, TaskState
from espnet_entropy.launch.task import PATIENCE, Status, read_statuses, write_atomic

PROGRAM = "slurm.pl"
# Seconds between two looks: a twentieth of what has passed, within these bounds
STATUS_SECONDS, QUEUE_SECONDS = (0.25, 10.0), (2.0, 30.0)
RESTARTABLE = {
    "TIMEOUT": "it exceeded its time limit",
    "PREEMPTED": "it was preempted",
    "NODE_FAIL": "its node was lost",
    "BOOT_FAIL": "its node did not boot",
}
FROM_OUTSIDE = "it was ended by SIGTERM"  # as its status says; to Slurm it has just failed
COMPLETING_SECONDS = 600.0  # a node may never get rid of a process; nothing is to be awaited of it
WITHOUT_STATUS = {
    "CANCELLED": "cancelled in the queue before it ran",
    "OUT_OF_MEMORY": "out of memory; ask for more with --mem",
    "DEADLINE": "its deadline has passed",
}
HELD = "launch failed requeued held"  # squeue's reason: pending until someone releases it
# Reasons with which a task may wait for ever
HOPELESS = (
    *("AccountNotAllowed", "BadConstraints", "DependencyNeverSatisfied", "InvalidAccount"),
    *("InvalidQOS", "JobHeldAdmin", "JobHeldUser", "PartitionDown", "PartitionNodeLimit"),
    "PartitionTimeLimit",
)


class SlurmBackend:
    """The pending tasks of a plan as one array job."""

    interval = STATUS_SECONDS[0]

    def __init__(self) -> None:
        self.left = ""
        self._job = ""
        self._open: set[int] = set()  # submitted, and not known to have ended
        self._restarts: dict[int, int] = {}
        self._silent_since: dict[int, float] = {}  # ended for Slurm, but without a status yet
        self._said: set[str] = set()

    def clear(self, state: Path, request: Request) -> None:
        """End the array of an earlier launcher of these logs."""
        slurm_queue.end_left_behind(job_name(state, request), self._say)

    def submit(self, plan: Plan, request: Request) -> None:
        """Submit the array."""
        self._plan, self._request = plan, request
        if not plan.pending:
            return
        name = job_name(plan.state, request)
        config = SlurmConfig.read(request.resources.config)
        limit = f"%{request.resources.max_jobs}" if request.resources.max_jobs else ""
        arguments = [
            *config.arguments(request.resources),
            "--parsable",
            "--requeue",
            "--open-mode=append",  # what Slurm says of a task goes to the task's own log
            f"--output={log_pattern(request)}",
            f"--job-name={name}",
            f"--array={as_ranges(plan.pending)}{limit}",
            str(plan.job_script),
        ]
        write_atomic(plan.state / ARRAY, name)
        self._job = slurm_queue.submit(arguments, name)
        self._open = set(plan.pending)
        self._start = self._next_status = time.monotonic()
        self._next_queue = self._start + QUEUE_SECONDS[0]

    def poll(self) -> dict[int, str]:
        """Look for new status files and, less often, into the queue for tasks that have none."""
        now = time.monotonic()
        if now < self._next_status:
            return {}
        self._next_status = now + self._pace(STATUS_SECONDS, now)
        ended = dict.fromkeys(self._finished(), "")
        if self._open and now >= self._next_queue:
            self._next_queue = now + self._pace(QUEUE_SECONDS, now)
            states = slurm_queue.look(self._job)
            if states is None:
                self._say("squeue does not answer; the jobs go on, and it will be asked again")
                return ended
            if self._open - states.keys():
                states = {**slurm_queue.remember(self._job), **states}
            ended.update(dict.fromkeys(self._finished(), ""))  # the queue was asked after these
            statuses = self._statuses()
            for task in sorted(self._open):
                why = self._judge(task, states.get(task), statuses.get(task))
                if why is not None:
                    ended[task] = why
                    self._open.discard(task)
        return ended

    def cancel(self) -> list[int]:
        """Cancel what has not ended, and see that nothing of the array is left."""
        if not self._job:
            return []
        running: list[int] = []
        if self._open:
            states = slurm_queue.look(self._job) or {}
            waiting = ENDED | {"PENDING"}
            running = [t for t in sorted(self._open) if t in states and states[t][0] not in waiting]
            slurm_queue.cancel(self._job)
        # without open tasks too: Slurm may have started one again whose status says "done"
        if slurm_queue.wait_until_gone(self._job, cancelled=bool(self._open)):
            (self._plan.state / ARRAY).unlink(missing_ok=True)
        else:
            self.left = f"squeue still shows job {self._job}"
        self._job = ""
        return running

    def _pace(self, bounds: tuple[float, float], now: float) -> float:
        return min(max(bounds[0], (now - self._start) / 20), bounds[1])

    def _statuses(self) -> dict[int, Status]:
        return read_statuses(
            self._plan.state, {task: self._plan.tasks[task] for task in self._open}
        )

    def _finished(self) -> list[int]:
        """Open tasks whose own word it is that they have ended; no longer open after this."""
        found = [t for t, status in self._statuses().items() if status["state"] != "cancelled"]
        self._open.difference_update(found)
        return found

    def _judge(self, task: int, known: TaskState | None, status: Status | None) -> str | None:
        """Why a task without a final status has ended, or ``None`` if it may still go on."""
        state, reason = known or TaskState("", "")
        if status and status["requeues"] < self._restarts.get(task, 0):
            status = None  # of a start before the last one
        if state == "PENDING" and HELD in reason:
            slurm_queue.cancel(f"{self._job}_{task}")
            return f"Slurm could not start it ({HELD})"
        if state == "COMPLETING":
            first = self._silent_since.setdefault(task, time.monotonic())
            if time.monotonic() - first < COMPLETING_SECONDS:
                return None
            return "" if status else "no status came, and Slurm does not come to its end"
        if state and state not in ENDED:
            if reason in HOPELESS:
                self._say(
                    f"job {self._job} waits: {reason}; Ctrl-C, or see `squeue -j {self._job}`"
                )
            self._silent_since.pop(task, None)
            return None
        if state in RESTARTABLE:
            return self._restart(task, state, RESTARTABLE[state])
        # so it says of a killed supervisor
        killed = state == "FAILED" and reason == "JobLaunchFailure"
        if status and state == "FAILED" and not killed:
            return self._restart(task, state, FROM_OUTSIDE)
        if status and (state == "CANCELLED" or killed):
            return ""
        # Another node may have written a status, and it may come late.
        first = self._silent_since.setdefault(task, time.monotonic())
        if time.monotonic() - first < PATIENCE:
            return None
        if killed:
            return "its supervisor ended without a status: killed"
        if state in WITHOUT_STATUS:
            return WITHOUT_STATUS[state]
        if status:
            return ""
        return f"no status came, and Slurm says {state or 'nothing'} {reason}".rstrip()

    def _restart(self, task: int, state: str, what: str) -> str | None:
        """Put a task into the queue again; returns why not, if not."""
        count, limit = self._restarts.get(task, 0), self._request.resources.max_restarts
        if count >= limit:
            return f"{what} ({state}), {count} of --max-restarts {limit} used"
        requeued = slurm_queue.requeue(self._job, task)
        if requeued is None:
            self._say("scontrol does not answer; it will be asked again")
            return None
        if not requeued:
            return f"{what} ({state}), and this cluster does not requeue; run again with --resume"
        self._restarts[task] = count + 1
        self._say(f"task {task}: {what}; in the queue again ({count + 1} of {limit})")
        return None

    def _say(self, message: str) -> None:
        if message not in self._said:
            self._said.add(message)
            print(f"{PROGRAM}: {message}", file=sys.stderr, flush=True)


def job_name(state: Path, request: Request) -> str:
    """The log's name and what makes it this one: two launchers of the same logs agree on it."""
    stem = re.sub(r"[^\w-]", "_", os.path.basename(request.log).split(".")[0])
    return f"{stem}-{hashlib.sha256(os.fsencode(state)).hexdigest()[:8]}"


def log_pattern(request: Request) -> str:
    """The path of the logs as Slurm writes it, ``%a`` for the task's number."""
    path = request.log.replace("%", "%%")
    if request.name is not None:
        path = path.replace(request.name, "%a")
    return os.path.normpath(os.path.join(os.getcwd().replace("%", "%%"), path))


def as_ranges(tasks: Iterable[int]) -> str:
    """Numbers as sbatch reads them.

    Example:
        >>> as_ranges([1, 2, 3, 7, 9, 10])
        '1-3,7,9-10'
    """
    ranges: list[list[int]] = []
    for task in sorted(tasks):
        if ranges and task == ranges[-1][1] + 1:
            ranges[-1][1] = task
        else:
            ranges.append([task, task])
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in ranges)


def main() -> int:
    """Run ``slurm.pl``; see :func:`espnet_entropy.launch.run.main`."""
    about = HELP.format(program=PROGRAM, where="on a Slurm cluster", more=HELP_SLURM)
    return run.main(None, PROGRAM, SlurmBackend, about)
