"""Where tasks run: what a backend must do, and the one that runs them here."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from espnet_entropy.launch.grammar import Request
from espnet_entropy.launch.plan import ARRAY, Plan
from espnet_entropy.launch.task import GRACE, LAUNCHER


class Backend(Protocol):
    """Runs ``bash job_script TASK`` for every task; statuses are the script's own affair.

    Attributes:
        interval: seconds between two calls of :meth:`poll` if nothing else happens.
        left: what :meth:`cancel` could not see ended, for a message; ``""`` if nothing.
    """

    interval: float
    left: str

    def clear(self, state: Path, request: Request) -> None:
        """End what an earlier launcher of these logs left running; before the plan is written.

        Raises:
            ValueError: if that cannot be done.
        """

    def submit(self, plan: Plan, request: Request) -> None:
        """Take the plan's pending tasks over.

        Raises:
            ValueError: if they ask for what is not here.
        """

    def poll(self) -> dict[int, str]:
        """Go on, without waiting.

        Returns:
            The tasks that have ended, well or not, since then, each with why it left no status
            (``""`` if that is not known).
        """

    def cancel(self) -> list[int]:
        """End every task, and return those that were running when nothing of them is left."""


class LocalBackend:
    """Tasks as processes on this machine, each in a session of its own.

    Memory, time and configuration are a scheduler's affair: they are ignored here.
    """

    left = ""
    interval = 1.0  # the end of a child wakes the launcher at once; this is for the display

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._slots: dict[int, int] = {}  # task: slot
        self._free: list[int] = []
        self._devices: list[list[str]] = []  # per slot, if GPUs were asked for
        self._job_script = Path()

    def clear(self, state: Path, request: Request) -> None:
        """End the array of a ``slurm.pl`` that was killed; processes here end with theirs."""
        marker = state / ARRAY
        if not marker.exists():
            return
        from espnet_entropy.launch import slurm_queue  # seldom needed, and run.pl starts in a blink

        name = marker.read_text(encoding="utf-8")
        try:
            slurm_queue.end_left_behind(
                name, lambda message: print(f"{request.program}: {message}", file=sys.stderr)
            )
        except ValueError as error:
            raise ValueError(
                f"a slurm.pl that was killed may have left jobs '{name}' at work on {request.log} "
                f"({error}); scancel --name {name} where the cluster is, and remove {marker}."
            ) from None
        marker.unlink()

    def submit(self, plan: Plan, request: Request) -> None:
        """Queue the tasks: as many at a time as was asked for, CPUs and GPUs allowing."""
        resources = request.resources
        if resources.nodes > 1:
            raise ValueError(
                f"--num-nodes {resources.nodes}: this is one machine; use slurm.pl for several."
            )
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
        self._job_script = plan.job_script
        self._free = list(range(limit))
        self._waiting.extend(plan.pending)
        self._fill()

    def poll(self) -> dict[int, str]:
        """Reap what has ended and start what waits."""
        ended = [task for task, process in self._running.items() if _exit_info(process)]
        for task in ended:
            self._close(task)
        self._fill()
        return dict.fromkeys(ended, "")

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
