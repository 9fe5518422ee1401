"""The supervisor of one task: ``python task.py STATE_DIR TASK`` (what every job script calls).

Runs the task's command with its output in the task's log, and ends by writing the status file,
atomically and last: a task has ended when its status file says so, whatever exit code a
scheduler reports. On SIGTERM, SIGINT or SIGHUP, and when the launcher dies, it takes down
everything that the command started, also in other sessions.

Under Slurm the same task may start several times without the launcher's doing (preemption, a
node that went away): each start has a status file of its own, and the log goes on. A command that
somebody else ended with SIGTERM counts as cancelled there, for the launcher to start again: the
ranks of an ``srun`` may be told first, or alone, that their time is over (``--signal``, the grace
time before preemption, a node that shuts down).

Run by path and with ``python -I -S``: imports the standard library only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypedDict

GRACE = 2.0  # seconds between SIGTERM and SIGKILL
PATIENCE = 60.0  # seconds until a network file system shows here what another node wrote
# of which this many are enough to tell why a rank failed; meanwhile the time limit may pass
FAILED_PATIENCE = 5.0
LAUNCHER = "ESPNET_ENTROPY_LAUNCHER"  # environment: process id of the launcher, if it is the parent
ATTEMPT = "ESPNET_ENTROPY_ATTEMPT"  # environment of the command: "restarts.requeues"
RANKS = "ESPNET_ENTROPY_RANKS"  # environment of the command: where ranks note their exit codes
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


class TaskPlan(TypedDict):
    """One entry of ``plan.json``.

    ``hash`` is that of the command and the folder it runs in; ``ranks`` how many ranks of an
    ``srun`` have to end well, 0 for any other command.
    """

    log: str
    command: str
    cwd: str
    hash: str
    restarts: int
    threads: int
    ranks: int


class Status(TypedDict):
    """How a task ended; times in ISO 8601, ``elapsed`` in seconds.

    ``restarts`` counts the launcher's attempts, ``requeues`` the scheduler's within one.
    """

    task: int
    state: Literal["done", "failed", "cancelled"]
    code: int
    reason: str
    host: str
    start: str
    end: str
    elapsed: float
    restarts: int
    requeues: int
    hash: str


def read_plan(state: Path) -> dict[int, TaskPlan]:
    """The tasks of ``plan.json``, by number."""
    content = json.loads((state / "plan.json").read_text(encoding="utf-8"))
    return {int(task): plan for task, plan in content["tasks"].items()}


def read_statuses(state: Path, plans: Mapping[int, TaskPlan]) -> dict[int, Status]:
    """The last status of each task's present attempt; tasks that have none are left out.

    Attempt and requeue are in the name: what an earlier attempt left, or writes belatedly, is
    never taken for this one. Listing the folder, rather than asking for names, also makes a
    network file system look again.
    """
    last: dict[int, int] = {}
    try:
        names = os.listdir(state / "status")
    except FileNotFoundError:
        return {}
    for name in names:
        task, restarts, requeues = _numbers(name)
        if task in plans and plans[task]["restarts"] == restarts:
            last[task] = max(last.get(task, 0), requeues)
    found = {}
    for task, requeues in last.items():
        path = status_path(state, task, plans[task]["restarts"], requeues)
        status: Status = json.loads(path.read_text(encoding="utf-8"))
        if status["hash"] == plans[task]["hash"]:
            found[task] = status
    return found


def status_path(state: Path, task: int, restarts: int, requeues: int) -> Path:
    """Where the status of one start of a task is."""
    return state / "status" / f"{task}.{restarts}.{requeues}.json"


def _numbers(name: str) -> tuple[int, int, int]:
    """Task, restarts and requeues of a status file's name; zeros of any other name."""
    parts = name.removesuffix(".json").split(".")
    if len(parts) != 3 or not all(part.isdigit() for part in parts):
        return 0, 0, 0
    return int(parts[0]), int(parts[1]), int(parts[2])


def write_status(state: Path, status: Status) -> None:
    """Write the status file atomically."""
    path = status_path(state, status["task"], status["restarts"], status["requeues"])
    write_atomic(path, json.dumps(status))


def write_atomic(path: Path, text: str) -> None:
    """``espnet_entropy.utils.files.atomic_write`` without NumPy: the launcher starts in a blink."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def now() -> str:
    """The time, to a second, with the zone."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def exit_code(returncode: int) -> int:
    """The code as a shell gives it: 128 + N for a process killed by signal N."""
    return returncode if returncode >= 0 else 128 - returncode


def describe(code: int) -> str:
    """What a code above 128 means, for the reader of a message; ``""`` for others.

    Example:
        >>> describe(137)
        'killed by SIGKILL (out of memory?)'
    """
    with contextlib.suppress(ValueError):
        if code > 128:
            name = signal.Signals(code - 128).name
            return f"killed by {name}{' (out of memory?)' if name == 'SIGKILL' else ''}"
    return ""


class _Cancelled(BaseException):
    pass


_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def _cancel(signum: int, frame: FrameType | None) -> None:
    _ignore_signals()  # one is enough: the rest must be tidied up in peace
    raise _Cancelled(signum)


def _ignore_signals() -> None:
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def run_task(state: Path, task: int) -> int:
    """Run task ``task`` of the plan in ``state``; returns its exit code."""
    for number in _SIGNALS:
        signal.signal(number, _cancel)
    start, clock = now(), time.monotonic()
    host = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
    plan, requeues = read_plan(state)[task], _requeues()
    attempt = f"{plan['restarts']}.{requeues}"
    ended: Literal["done", "failed", "cancelled"]
    with open(plan["log"], "a", encoding="utf-8", errors="surrogateescape") as log:
        try:
            _adopt_descendants()
            if not requeues:
                log.truncate(0)
            log.write(f"# {plan['command']}\n# Running on {host}\n# Started at {start}\n#\n")
            log.flush()
            ranks = state / "ranks" / f"{task}.{attempt}"
            code = _run_command(plan, log.fileno(), {ATTEMPT: attempt, RANKS: str(ranks)})
            _ignore_signals()  # it has ended by itself: only the bookkeeping is left
            reason = describe(code)
            if plan["ranks"]:
                code, reason = _ask_ranks(ranks, plan["ranks"], code)
            ended = "failed" if code else "done"
            if code == 128 + signal.SIGTERM and LAUNCHER not in os.environ:
                ended = "cancelled"
        except _Cancelled as cancelled:
            _kill_descendants()
            code, ended = 128 + cancelled.args[0], "cancelled"
            reason = f"cancelled by {signal.Signals(cancelled.args[0]).name}"
        except OSError as error:
            code, ended, reason = 126, "failed", str(error)
        elapsed = time.monotonic() - clock
        log.write(footer(code, elapsed, reason, plan["threads"]))
    status = Status(
        task=task,
        state=ended,
        code=code,
        reason=reason,
        host=host,
        start=start,
        end=now(),
        elapsed=round(elapsed, 3),
        restarts=plan["restarts"],
        requeues=requeues,
        hash=plan["hash"],
    )
    write_status(state, status)
    return code


def _requeues() -> int:
    """How often Slurm has started this task before; 0 where it is not Slurm that starts it."""
    inherited = LAUNCHER in os.environ  # a local launcher inside a job that was requeued
    return 0 if inherited else int(os.environ.get("SLURM_RESTART_COUNT") or 0)


def footer(code: int, elapsed: float, reason: str, threads: int) -> str:
    """The last lines of a log, as Kaldi's tools read them."""
    why = f"# {reason}\n" if reason else ""
    return (
        f"{why}# Accounting: time={round(elapsed)} threads={threads}\n"
        f"# Ended (code {code}) at {now()}, elapsed time {round(elapsed)} seconds\n"
    )


def _run_command(plan: TaskPlan, log: int, more: Mapping[str, str]) -> int:
    environment = {**os.environ, **more}
    if environment.pop(LAUNCHER, None) is None and "SLURM_JOB_ID" in environment:
        environment["cmd_backend"] = "local"  # egs2/TEMPLATE/cmd.sh: what runs in a job stays there
        environment["SLURM_KILL_BAD_EXIT"] = "1"  # a rank that fails ends the others
        # srun of Slurm 22.05 and later does not take it from sbatch
        environment["SRUN_CPUS_PER_TASK"] = environment.get("SLURM_CPUS_PER_TASK", "1")
    libc = _libc()

    def die_with_supervisor() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    # a failure anywhere in a pipe counts: `false | gzip` must not pass for success
    process = subprocess.Popen(
        ["bash", "-o", "pipefail", "-c", plan["command"]],
        cwd=plan["cwd"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        preexec_fn=die_with_supervisor,
    )
    return exit_code(process.wait())


def _ask_ranks(folder: Path, expected: int, code: int) -> tuple[int, str]:
    """Exit code of an ``srun`` and why it failed, by what its ranks have noted.

    It can end with 0 though a rank was lost. When one fails, it ends the others, and may end with
    the code of these: the first note that tells of a failure counts, once all notes are there or
    none is to be expected any more.
    """
    start = time.monotonic()
    while True:
        notes = {int(path.name): path for path in folder.glob("*") if path.name.isdigit()}
        codes = {rank: int(path.read_text(encoding="utf-8")) for rank, path in notes.items()}
        failed = [rank for rank in codes if codes[rank]]
        missing = [str(rank) for rank in range(expected) if rank not in codes]
        if not missing or time.monotonic() - start > _rank_patience(code, codes):
            break
        time.sleep(0.5)
    if failed:
        first = min(failed, key=lambda rank: notes[rank].stat().st_mtime_ns)
        why = f": {describe(codes[first])}" if describe(codes[first]) else ""
        return codes[first], f"rank {first} ended with code {codes[first]}{why}"
    if code:
        return code, describe(code)
    if missing:
        return 1, f"srun ended with 0, but rank(s) {', '.join(missing)} did not end well"
    return 0, ""


def _rank_patience(code: int, codes: Mapping[int, int]) -> float:
    """Seconds to wait for the notes of further ranks.

    Args:
        code: of ``srun``.
        codes: noted so far.
    """
    ended = 128 + signal.SIGTERM
    if not code and not any(codes.values()):
        return PATIENCE
    # a rank that was ended tells nothing of the one because of which it was
    told = any(each not in (0, ended) for each in (code, *codes.values()))
    return FAILED_PATIENCE if told else PATIENCE / 2


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _adopt_descendants() -> None:
    """Orphans of the command become our children; SIGTERM comes when the launcher dies."""
    libc = _libc()
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    launcher = os.environ.get(LAUNCHER)
    if launcher is None:  # under a scheduler: it ends its tasks itself
        return
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(launcher):  # it died before we could ask
        _cancel(signal.SIGTERM, None)


def _descendants() -> list[int]:
    """Living processes below this one, whatever group or session they moved to."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # "pid (name) state ppid …"; the name may hold anything, parentheses too
                state, parent = (
                    (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                )
                if state not in "ZX":
                    children.setdefault(int(parent), []).append(int(entry.name))
    found: list[int] = []
    queue = [os.getpid()]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _kill_descendants() -> None:
    """SIGTERM, and SIGKILL after the grace time, until nothing is left (or cannot be killed)."""
    start = time.monotonic()
    asked: set[int] = set()
    while (alive := _descendants()) and time.monotonic() - start < 2 * GRACE:
        late = time.monotonic() - start > GRACE
        for pid in alive:
            if late or pid not in asked:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
                asked.add(pid)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(run_task(Path(sys.argv[1]), int(sys.argv[2])))
