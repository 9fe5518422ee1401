"""Where tasks run: what a backend must do, and the one that runs them here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from espnet_entropy.launch.grammar import Resources
from espnet_entropy.launch.task import GRACE, LAUNCHER


class Backend(Protocol):
    """Runs ``bash job_script TASK`` for every task; statuses are the script's own affair.

    Attributes:
        interval: seconds between two calls of :meth:`poll` if nothing else happens.
    """

    interval: float

    def submit(self, job_script: Path, tasks: Sequence[int], resources: Resources) -> None:
        """Take the tasks over.

        Raises:
            ValueError: if they ask for what is not here.
        """

    def poll(self) -> list[int]:
        """Go on, without waiting; returns the tasks that have ended, well or not, since then."""

    def cancel(self) -> list[int]:
        """End every task, and return those that were running when nothing of them is left."""


class LocalBackend:
    """Tasks as processes on this machine, each in a session of its own.

    Memory, time and configuration are a scheduler's affair: they are ignored here.
    """

    interval = 1.0  # the end of a child wakes the launcher at once; this is for the display

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._slots: dict[int, int] = {}  # task: slot
        self._free: list[int] = []
        self._devices: list[list[str]] = []  # per slot, if GPUs were asked for
        self._job_script = Path()

    def submit(self, job_script: Path, tasks: Sequence[int], resources: Resources) -> None:
        """Queue the tasks: as many at a time as was asked for, CPUs and GPUs allowing."""
        limit = resources.max_jobs or max(1, len(os.sched_getaffinity(0)) // resources.threads)
        if resources.gpu:
            visible = visible_gpus()
            per_task = resources.gpu
            if len(visible) < per_task:
                raise ValueError(
                    f"--gpu {per_task}: this machine shows {len(visible)} GPU(s); "
                    "use --gpu 0, or check nvidia-smi and CUDA_VISIBLE_DEVICES."
                )
            self._devices = [
                visible[i : i + per_task] for i in range(0, len(visible) - per_task + 1, per_task)
            ]
            limit = min(limit, len(self._devices)) if resources.max_jobs else len(self._devices)
        self._job_script = job_script
        self._free = list(range(limit))
        self._waiting.extend(tasks)
        self._fill()

    def poll(self) -> list[int]:
        """Reap what has ended and start what waits."""
        ended = [task for task, process in self._running.items() if _exit_info(process)]
        for task in ended:
            self._close(task)
        self._fill()
        return ended

    def cancel(self) -> list[int]:
        """Ask every supervisor to end its task; after the grace time, kill the groups."""
        self._waiting.clear()
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 2 * GRACE + 1
        while time.monotonic() < deadline and not all(map(_exit_info, self._running.values())):
            time.sleep(0.01)
        cancelled = list(self._running)
        for task in cancelled:
            self._close(task)
        return cancelled

    def _fill(self) -> None:
        while self._waiting and self._free:
            task, slot = self._waiting.popleft(), self._free.pop(0)
            environment = {**os.environ, LAUNCHER: str(os.getpid())}
            if self._devices:
                environment["CUDA_VISIBLE_DEVICES"] = ",".join(self._devices[slot])
            self._slots[task] = slot
            # a session of its own: Ctrl-C at the terminal reaches the launcher alone
            self._running[task] = subprocess.Popen(
                ["bash", str(self._job_script), str(task)],
                env=environment,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _close(self, task: int) -> None:
        """Sweep up what a supervisor that was killed left behind; free its slot."""
        process = self._running.pop(task)
        info = _exit_info(process)
        if info is None or info.si_code != os.CLD_EXITED:
            # before it is reaped: until then its number cannot belong to any other group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._free.append(self._slots.pop(task))


def _exit_info(process: subprocess.Popen[bytes]) -> os.waitid_result | None:
    """How the process ended, or ``None`` if it runs; it is not reaped."""
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)


def visible_gpus() -> list[str]:
    """What ``CUDA_VISIBLE_DEVICES`` names, or else the numbers that nvidia-smi lists."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [device for device in (part.strip() for part in named.split(",")) if device]
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(i) for i in range(len(lines))]
