"""What is to be run, written down: ``plan.json`` and ``job.sh`` in a folder beside the logs.

A command that begins with ``srun`` (ESPnet's launcher makes such ones for several nodes) is run
through ``rank.sh`` in every rank. It notes the exit code of its rank, since srun may lose one and
say nothing, or give the code of those that it ended because another had failed; and it gives
``--dist_init_method file://X`` a name of its own in every attempt: what an earlier one left in that
file would spoil the next.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from espnet_entropy.launch import task as task_module
from espnet_entropy.launch.grammar import Request
from espnet_entropy.launch.task import (
    ATTEMPT,
    RANKS,
    Status,
    TaskPlan,
    read_plan,
    read_statuses,
    write_atomic,
)

ARRAY = "array"  # in the folder: name of a Slurm array that has not been seen to end
RANK_SCRIPT = f"""\
#!/usr/bin/env bash
# Made by the launcher: what srun starts in every rank. rank.sh PROGRAM ARGUMENTS...
words=() before=
for word in "$@"; do
    if [[ ${{before}} == --dist_init_method && ${{word}} == file://* ]]; then
        word+=".${{{ATTEMPT}}}"
    fi
    words+=("${{word}}") before=${{word}}
done
code=0
"${{words[@]}}" || code=$?
mkdir -p "${{{RANKS}}}" && cd "${{{RANKS}}}" || exit
echo "${{code}}" > "${{SLURM_PROCID}}.tmp" && mv "${{SLURM_PROCID}}.tmp" "${{SLURM_PROCID}}" || exit
exit "${{code}}"
"""


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

    def statuses(self) -> dict[int, Status]:
        """The status of every task that has one."""
        return read_statuses(self.state, self.tasks)

    def not_done(self) -> list[int]:
        """Tasks without a status that says "done"."""
        statuses = self.statuses()
        return [n for n in self.tasks if n not in statuses or statuses[n]["state"] != "done"]


def make_plan(request: Request, clear: Callable[[Path, Request], None]) -> Plan:
    """Plan the request's tasks and write ``plan.json`` and ``job.sh``.

    With ``resume``, a task whose status says "done" for the same command in the same folder
    stays done; else every task runs again.

    Args:
        request: what to run.
        clear: ends what an earlier launcher left running, which reads the plan before this one.

    Raises:
        ValueError: if the folder of a log cannot be made or written, if another launcher is at
            work on the same logs, or if the options of an ``srun`` cannot be read.
    """
    state = state_folder(request)
    tasks = {number: _task(request, number) for number in range(request.first, request.last + 1)}
    try:
        for task in tasks.values():
            os.makedirs(os.path.dirname(task["log"]), exist_ok=True)
        state.mkdir(parents=True, exist_ok=True)
        lock = _lock(state, request)
        clear(state, request)
        others = _reconcile(state, tasks, request.resume)
        write_atomic(state / "plan.json", json.dumps({"tasks": {**others, **tasks}}, indent=1))
        write_atomic(state / "job.sh", _job_script(state, request.program))
        if any(task["ranks"] for task in tasks.values()):
            write_atomic(state / "rank.sh", RANK_SCRIPT)
    except OSError as error:
        raise ValueError(
            f"cannot write the log and its state beside it: {error.strerror}: {error.filename}"
        ) from error
    plan = Plan(state, tasks, [], lock)
    plan.pending = plan.not_done()
    return plan


def state_folder(request: Request) -> Path:
    """The hidden folder for the state of the request's tasks; one per log path."""
    folder, name = os.path.split(request.log)
    while request.name is not None and request.name in folder:
        folder, above = os.path.split(folder)
        name = f"{above}%{name}"
    return Path(os.path.abspath(folder)) / ".launch" / name


def _task(request: Request, number: int) -> TaskPlan:
    cwd, ranks = os.getcwd(), 0
    if request.command[0] == "srun":
        script = str(state_folder(request) / "rank.sh")
        request = replace(request, command=_in_every_rank(request.command, script))
        ranks = request.resources.nodes  # one task per node
    command = request.shell_command(number)
    digest = hashlib.sha256(f"{cwd}\0{command}".encode(errors="surrogateescape"))
    return TaskPlan(
        log=os.path.abspath(request.fill(request.log, number)),
        command=command,
        cwd=cwd,
        hash=digest.hexdigest()[:16],
        restarts=0,
        threads=request.resources.threads,
        ranks=ranks,
    )


def _in_every_rank(command: tuple[str, ...], script: str) -> tuple[str, ...]:
    """``srun --a=b prog …`` to ``srun --a=b bash rank.sh prog …``.

    Raises:
        ValueError: if the program may be the value of an option (``srun -n 2 prog``).
    """
    options = 1
    while options < len(command) and command[options].startswith("-"):
        options += 1
    last = command[options - 1]
    if options > 1 and "=" not in last:
        raise ValueError(
            f"'{' '.join(command[: options + 1])}': is the last word the program or a value of "
            f"{last}? Write values as in --ntasks=2; if it has none, put it before one that has."
        )
    return (*command[:options], "bash", script, *command[options:])


def _lock(state: Path, request: Request) -> IO[bytes]:
    lock = open(state / "lock", "ab")  # noqa: SIM115  (held until the launcher ends)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ValueError(
            f"another {request.program} is at work on {request.log}; "
            "wait for it, or name another log."
        ) from None
    return lock


def _reconcile(state: Path, tasks: dict[int, TaskPlan], resume: bool) -> dict[int, TaskPlan]:
    """Count on from the attempts of the plan before; only ``resume`` keeps what they came to.

    Returns:
        The tasks of that plan which are not in this one (``JOB=3`` after ``JOB=1:20``).
    """
    try:
        before = read_plan(state)
    except (FileNotFoundError, ValueError, KeyError):
        before = {}
    statuses = read_statuses(state, before)
    for number, task in tasks.items():
        old, status = before.pop(number, None), statuses.get(number)
        if old is not None:
            kept = resume and old["hash"] == task["hash"]
            done = kept and status is not None and status["state"] == "done"
            task["restarts"] = old["restarts"] + (not done)
            if kept:
                continue
        for path in (state / "status").glob(f"{number}.*.json"):
            path.unlink()
        for path in (state / "ranks").glob(f"{number}.*"):
            shutil.rmtree(path)
    return before


def _job_script(state: Path, program: str) -> str:
    supervisor = shlex.join([sys.executable, "-I", "-S", os.path.abspath(task_module.__file__)])
    return (
        "#!/usr/bin/env bash\n"
        f"# Made by {program}: `bash job.sh TASK` runs one task of plan.json,\n"
        "# and so does every task of `sbatch --array=TASKS job.sh`\n"
        f'exec {supervisor} {shlex.quote(str(state))} "${{1:-${{SLURM_ARRAY_TASK_ID}}}}"\n'
    )
