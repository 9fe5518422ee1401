"""A launcher: plan the tasks, let a backend run them, watch, and tell how it went."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from types import FrameType
from typing import Literal

from espnet_entropy.launch.backend import Backend, LocalBackend
from espnet_entropy.launch.grammar import HELP, HELP_LOCAL, Request, parse
from espnet_entropy.launch.plan import Plan, make_plan
from espnet_entropy.launch.task import Status, footer, now, write_status

TAIL_BYTES = 1 << 16  # of a log, which may be long, for its last lines


class Signals:
    """Notes signals instead of obeying them; a context manager.

    Handlers only write a byte to a pipe (``set_wakeup_fd``), so a signal can interrupt nothing
    half-way, and :meth:`wait` returns at once when a child ends.
    """

    def __enter__(self) -> Signals:
        self.caught: int | None = None
        self._read, write = os.pipe()
        os.set_blocking(write, False)
        os.set_blocking(self._read, False)
        self._write = write
        self._old_fd = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self._old = {signal.SIGCHLD: signal.signal(signal.SIGCHLD, self._note)}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or `&` in a script
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._old_fd)
        os.close(self._read)
        os.close(self._write)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self.caught = self.caught or number

    def wait(self, seconds: float) -> None:
        """Sleep until a signal comes, at most ``seconds``."""
        select([self._read], [], [], seconds)
        with suppress(BlockingIOError):
            os.read(self._read, 4096)


class Display:
    """``3/32 done, 1 failed, 00:12 left`` on a terminal, nothing elsewhere."""

    def __init__(self, program: str, total: int) -> None:
        self.program, self.total, self.start = program, total, time.monotonic()
        self.active = sys.stderr.isatty() and total > 1

    def show(self, ended: int, failed: int) -> None:
        """Draw the line anew; the time left supposes tasks of equal length."""
        if not self.active:
            return
        text = f"{ended - failed}/{self.total} done"
        if failed:
            text += f", {failed} failed"
        if 0 < ended < self.total:
            left = (time.monotonic() - self.start) / ended * (self.total - ended)
            minutes, seconds = divmod(round(left), 60)
            text += f", {minutes:02}:{seconds:02} left"
        print(f"\r\033[K{self.program}: {text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self.active:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def run_plan(plan: Plan, request: Request, backend: Backend) -> int:
    """Run the plan's pending tasks to their end.

    Returns:
        0, or the number of the signal that cancelled the run.

    Raises:
        ValueError: if the backend cannot run such tasks.
    """
    with Signals() as signals:
        try:
            backend.submit(plan, request)
            _watch(plan, request.program, backend, signals)
        finally:  # nothing runs any more, unless we were cancelled or something broke
            running = backend.cancel()
            known = plan.statuses() if running else {}
            number = signals.caught or signal.SIGTERM
            for task in running:
                if task not in known:
                    why = f"cancelled by {signal.Signals(number).name}"
                    _lost(plan, task, "cancelled", 128 + number, why)
            _remove_temporaries(plan.state)
        return signals.caught or 0


def _watch(plan: Plan, program: str, backend: Backend, signals: Signals) -> None:
    """Poll until every pending task has ended or a signal has come."""
    pending, failed = set(plan.pending), 0
    display = Display(program, len(pending))
    while pending and not signals.caught:
        signals.wait(backend.interval)
        ended = backend.poll()
        known = plan.statuses() if ended else {}
        for task, why in ended.items():
            pending.discard(task)
            if task not in known or why:
                why = why or "its supervisor ended without a status: killed (out of memory?)"
                known[task] = _lost(plan, task, "failed", 128 + signal.SIGKILL, why)
            failed += known[task]["state"] != "done"
        display.show(len(plan.pending) - len(pending), failed)
    display.clear()


def _lost(
    plan: Plan, task: int, state: Literal["failed", "cancelled"], code: int, reason: str
) -> Status:
    """Speak for a supervisor that ended without a status: write log footer and status."""
    entry, before = plan.tasks[task], plan.statuses().get(task)
    with suppress(OSError), open(entry["log"], "a", encoding="utf-8") as log:
        log.write(footer(code, 0.0, reason, entry["threads"]))
    status = Status(
        task=task,
        state=state,
        code=code,
        reason=reason,
        host=os.uname().nodename,
        start="",
        end=now(),
        elapsed=0.0,
        restarts=entry["restarts"],
        requeues=before["requeues"] + 1 if before else 0,
        hash=entry["hash"],
    )
    write_status(plan.state, status)
    return status


def _remove_temporaries(state: Path) -> None:
    """What a writer that was killed left behind."""
    for folder in (state, state / "status"):
        for path in folder.glob(".*.tmp"):
            with suppress(FileNotFoundError):
                path.unlink()


def report(plan: Plan, request: Request) -> int:
    """Tell which tasks failed, with the end of the first one's log; returns how many."""
    statuses = plan.statuses()
    failed = {task: statuses.get(task) for task in plan.not_done()}
    if not failed:
        return 0
    say = f"{request.program}:"
    first, status = next(iter(failed.items()))
    log = plan.tasks[first]["log"]
    if len(plan.tasks) == 1:
        message = f"job failed, log is in {request.fill(request.log, first)}"
    else:
        pattern = request.log.replace(request.name or "", "*")
        message = f"{len(failed)} / {len(plan.tasks)} failed, log is in {pattern}"
        message += f"\n{say} failed: {', '.join(map(str, failed))}"
    if status is not None:
        why = f", {status['reason']}" if status["reason"] else ""
        ended = f"ended with code {status['code']}{why}"
        message += f"\n{say} {log} {ended}; its last lines:"
    lines: list[str] = []
    with suppress(OSError), open(log, "rb") as stream:
        stream.seek(max(0, os.path.getsize(log) - TAIL_BYTES))
        lines = stream.read().decode("utf-8", "replace").splitlines()[-10:]
    print(f"{say} {message}", *(f"    {line}" for line in lines), sep="\n", file=sys.stderr)
    return len(failed)


def main(
    arguments: Sequence[str] | None = None,
    program: str = "run.pl",
    make_backend: Callable[[], Backend] = LocalBackend,
    about: str = HELP.format(program="run.pl", where="on this machine", more=HELP_LOCAL),
) -> int:
    """Run a launcher.

    Args:
        arguments: of the command line; ``sys.argv`` if not given.
        program: its name, for messages.
        make_backend: what runs the tasks.
        about: what ``--help`` prints.

    Returns:
        0 if every task is done, 1 if some failed, 2 if the call makes no sense. A run that was
        cancelled ends by the signal that did it, so that the calling script stops too.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["--help"], ["-h"]):
        print(about)
        return 0
    resume = os.environ.get("ESPNET_ENTROPY_RESUME", "") not in ("", "0")
    backend = make_backend()
    try:
        request = parse(words, resume, program)
        plan = make_plan(request, backend.clear)
        if request.resume and len(plan.pending) < len(plan.tasks):
            done = len(plan.tasks) - len(plan.pending)
            print(f"{program}: {done} of {len(plan.tasks)} done already", file=sys.stderr)
        caught = run_plan(plan, request, backend)
    except ValueError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    if caught:
        left = backend.left or "no task is left running"
        print(f"{program}: cancelled; {left}", file=sys.stderr)
        signal.signal(caught, signal.SIG_DFL)
        os.kill(os.getpid(), caught)
    return 1 if report(plan, request) else 0
