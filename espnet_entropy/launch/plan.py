"""What is to be run, written down: ``plan.json`` and ``job.sh`` in a folder beside the logs."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from espnet_entropy.launch import task as task_module
from espnet_entropy.launch.grammar import Request
from espnet_entropy.launch.task import TaskPlan, read_plan, read_status, write_atomic


@dataclass
class Plan:
    """The tasks of one call, and where their state is.

    Attributes:
        state: ``<folder of the logs>/.launch/<name of the log>``.
        tasks: all tasks by number.
        pending: numbers of those that have to run now.
    """

    state: Path
    tasks: dict[int, TaskPlan]
    pending: list[int]
    _lock: IO[bytes] | None = field(default=None, repr=False)

    @property
    def job_script(self) -> Path:
        """``bash job.sh TASK`` runs one task, here or under a scheduler."""
        return self.state / "job.sh"


def make_plan(request: Request) -> Plan:
    """Plan the request's tasks and write ``plan.json`` and ``job.sh``.

    With ``resume``, a task whose status says "done" for the same command in the same folder
    stays done; else every task runs again.

    Raises:
        ValueError: if the folder of a log cannot be made or written, or if another launcher
            is at work on the same logs.
    """
    state = state_folder(request)
    tasks = {number: _task(request, number) for number in range(request.first, request.last + 1)}
    try:
        for plan in tasks.values():
            os.makedirs(os.path.dirname(plan["log"]), exist_ok=True)
        state.mkdir(parents=True, exist_ok=True)
        lock = _lock(state, request.log)
        others = _reconcile(state, tasks, request.resume)
        write_atomic(state / "plan.json", json.dumps({"tasks": {**others, **tasks}}, indent=1))
        write_atomic(state / "job.sh", _job_script(state))
    except OSError as error:
        raise ValueError(
            f"cannot write the log and its state beside it: {error.strerror}: {error.filename}"
        ) from error
    pending = [number for number, plan in tasks.items() if not _is_done(state, number, plan)]
    return Plan(state, tasks, pending, lock)


def state_folder(request: Request) -> Path:
    """The hidden folder for the state of the request's tasks; one per log path."""
    folder, name = os.path.split(request.log)
    while request.name is not None and request.name in folder:
        folder, above = os.path.split(folder)
        name = f"{above}%{name}"
    return Path(os.path.abspath(folder)) / ".launch" / name


def _task(request: Request, number: int) -> TaskPlan:
    command, cwd = request.shell_command(number), os.getcwd()
    digest = hashlib.sha256(f"{cwd}\0{command}".encode(errors="surrogateescape"))
    return TaskPlan(
        log=os.path.abspath(request.fill(request.log, number)),
        command=command,
        cwd=cwd,
        hash=digest.hexdigest()[:16],
        restarts=0,
        threads=request.resources.threads,
    )


def _lock(state: Path, log: str) -> IO[bytes]:
    lock = open(state / "lock", "ab")  # noqa: SIM115  (held until the launcher ends)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ValueError(
            f"another run.pl is at work on {log}; wait for it, or name another log."
        ) from None
    return lock


def _reconcile(state: Path, tasks: dict[int, TaskPlan], resume: bool) -> dict[int, TaskPlan]:
    """Count on from the attempts of the plan before, or forget them.

    Returns:
        The tasks of that plan which are not in this one (``JOB=3`` after ``JOB=1:20``).
    """
    try:
        before = read_plan(state)
    except (FileNotFoundError, ValueError, KeyError):
        before = {}
    for number, task in tasks.items():
        old = before.pop(number, None)
        if resume and old is not None and old["hash"] == task["hash"]:
            task["restarts"] = old["restarts"] + (not _is_done(state, number, old))
        else:
            for path in (state / "status").glob(f"{number}.*.json"):
                path.unlink()
    return before


def _is_done(state: Path, number: int, plan: TaskPlan) -> bool:
    status = read_status(state, number, plan)
    return status is not None and status["state"] == "done"


def _job_script(state: Path) -> str:
    supervisor = shlex.join([sys.executable, "-I", "-S", os.path.abspath(task_module.__file__)])
    return (
        "#!/usr/bin/env bash\n"
        "# Made by run.pl: `bash job.sh TASK` runs one task of plan.json, here or on a cluster\n"
        f'exec {supervisor} {shlex.quote(str(state))} "$1"\n'
    )
