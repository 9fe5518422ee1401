"""Time of ``utils/run.pl`` and ``utils/slurm.pl`` for N empty tasks, beside the plain tools.

    python tools/bench/bench_launcher.py [--tasks 1 8 100] [--jobs 2] [--repeat 3]

Beside the same tasks through ``xargs -P`` and through a plain ``sbatch --wait`` array on the same
Slurm: a virtual one that is started for this, or the cluster of ``SLURM_CONF``. The launchers do
more: a log and an atomic, fsynced status per task. The table says what that costs.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VIRTUAL = [sys.executable, str(ROOT / "tools/virtual_slurm.py")]


def seconds(command: list[str], repeat: int) -> float:
    """The best wall time of ``repeat`` runs, each in a fresh folder."""
    best = float("inf")
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            best = min(best, time.perf_counter() - start)
    return best


@contextmanager
def a_slurm():
    """``True`` inside if there is one: the site's, or a virtual one for the time being."""
    if "SLURM_CONF" in os.environ:
        yield True
        return
    with tempfile.TemporaryDirectory(prefix="slurm", dir="/tmp") as folder:
        found = subprocess.run([*VIRTUAL, "start", folder], capture_output=True, text=True)
        if found.returncode:
            print(found.stderr.strip())
            yield False
            return
        os.environ.update(word.split("=", 1) for word in shlex.split(found.stdout)[1:])
        try:
            yield True
        finally:
            subprocess.run([*VIRTUAL, "stop", folder], check=True)


def commands(jobs: int, slurm: bool) -> dict[str, Callable[[int], list[str]]]:
    """What is compared: a command for a number of tasks, each."""

    def launcher(name: str, tasks: int, *options: str) -> list[str]:
        words = [sys.executable, str(ROOT / "utils" / name), *options]
        return [*words, f"JOB=1:{tasks}", "x.JOB.log", "true"]

    def xargs(tasks: int) -> list[str]:
        script = f"seq {tasks} | xargs -P {jobs} -I{{}} bash -c 'true > x.{{}}.log 2>&1'"
        return ["bash", "-c", script]

    def sbatch(tasks: int) -> list[str]:
        words = ["sbatch", "--wait", f"--array=1-{tasks}", "--output=x.%a.log"]
        return [*words, "--wrap=true"]

    made: dict[str, Callable[[int], list[str]]] = {
        "run.pl": lambda tasks: launcher("run.pl", tasks, "--max-jobs-run", str(jobs)),
        "xargs": xargs,
    }
    if slurm:
        made |= {"slurm.pl": lambda tasks: launcher("slurm.pl", tasks), "sbatch": sbatch}
    return made


def main() -> None:
    """Print one line per number of tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 8, 100])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    with a_slurm() as slurm:
        compared = commands(args.jobs, slurm)
        print(f"seconds; here {args.jobs} at a time, load average {os.getloadavg()[0]:.1f}")
        print(f"{'tasks':>6}" + "".join(f"{name:>10}" for name in compared))
        for tasks in args.tasks:
            took = [seconds(command(tasks), args.repeat) for command in compared.values()]
            print(f"{tasks:6}" + "".join(f"{value:10.3f}" for value in took), flush=True)


if __name__ == "__main__":
    main()
