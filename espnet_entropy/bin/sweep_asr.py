"""Train and score every row of a sweep; ./run.sh --sweep NAME calls it.

python -m espnet_entropy.bin.sweep_asr --sweep methods ... -- COMMAND: asr.sh and its options
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--sweep", required=True, help="file or name: conf/sweep/<name>.yaml here or in a place")
    add("--places", type=Path, nargs="+", required=True, help="folders that have a conf/sweep")
    add("--base", type=Path, required=True, help="the recipe's training configuration")
    add("--seeds", default="1", help="words: of training")
    add("--budgets", default="epochs", help="words: epochs, flops")
    add("--units", default="../units1", help="recipe of the units")
    add("--calibrate_on", type=Path, required=True, help="scored dump, for sweeps that calibrate")
    add("--segmenter", type=Path, required=True, help="segmenter.yaml: criteria, for such sweeps")
    add("--train_arguments", default="", help="words: ESPnet's, beside configuration and seed")
    add("--measured_from", type=Path, nargs="*", default=[], help="files that decide FLOPs")
    add("--launcher", required=True, help="words: a command with the interface of run.pl")
    add("--jobs", type=int, default=1, help="rows at the same time")
    add("--remake", choices=["true", "false"], default="false")
    add("--stages", nargs="+", required=True, help="names of those of asr.sh that are asked for")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the sweep; exit status 1 if a row failed."""
    words = list(sys.argv[1:] if argv is None else argv)
    at = words.index("--") if "--" in words else len(words)
    args = get_parser().parse_args(words[:at])
    setup_logging()
    from espnet_entropy.launch.sweep import Settings, run_sweep

    try:
        seeds = [int(word) for word in args.seeds.split()]
    except ValueError:
        raise ValueError(f"--seeds: expected whole numbers, got '{args.seeds}'.") from None
    settings = Settings(
        base=args.base,
        command=words[at + 1 :],
        seeds=seeds,
        budgets=args.budgets.split(),
        units=args.units,
        calibrate_on=args.calibrate_on,
        segmenter=args.segmenter,
        train_arguments=shlex.split(args.train_arguments),
        measured_from=args.measured_from,
        launcher=shlex.split(args.launcher),
        at_a_time=args.jobs,
        remake=args.remake == "true",
        stages=args.stages,
    )
    failed = run_sweep(args.sweep, args.places, settings)
    if failed:
        print(f"error: {len(failed)} row(s) failed:", *failed, sep="\n", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
