"""Time of ``utils/run.pl`` for N empty tasks, beside ``xargs -P`` doing the same.

    python tools/bench/bench_launcher.py [--tasks 1 8 100] [--jobs 2] [--repeat 3]

``run.pl`` does more than xargs: a log and an atomic, fsynced status per task. The table says
what that costs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUN = Path(__file__).resolve().parents[2] / "utils" / "run.pl"


def seconds(command: list[str], repeat: int) -> float:
    """The best wall time of ``repeat`` runs, each in a fresh folder."""
    best = float("inf")
    for _ in range(repeat):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            subprocess.run(command, cwd=folder, check=True)
            best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    """Print one line per number of tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 8, 100])
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    print(f"{args.jobs} at a time, load average {os.getloadavg()[0]:.1f}")
    print(f"{'tasks':>6} {'run.pl s':>9} {'per task ms':>12} {'xargs s':>8} {'per task ms':>12}")
    for tasks in args.tasks:
        launcher = [sys.executable, str(RUN), "--max-jobs-run", str(args.jobs)]
        ours = seconds([*launcher, f"JOB=1:{tasks}", "x.JOB.log", "true"], args.repeat)
        shell = f"seq {tasks} | xargs -P {args.jobs} -I{{}} bash -c 'true > x.{{}}.log 2>&1'"
        theirs = seconds(["bash", "-c", shell], args.repeat)
        print(
            f"{tasks:6} {ours:9.3f} {1000 * ours / tasks:12.1f} "
            f"{theirs:8.3f} {1000 * theirs / tasks:12.1f}"
        )


if __name__ == "__main__":
    main()
