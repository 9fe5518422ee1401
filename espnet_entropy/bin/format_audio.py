"""Check and convert the audio of a data directory: data/SET -> dump/raw/SET.

Run it as JOB of NJ for every job, then once with --merge.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, paired, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--data", nargs="+", required=True, help="data directories to read")
    parser.add_argument("--out", nargs="+", required=True, help="for each, the one to write")
    parser.add_argument("--job", type=int, default=1, help="this job, from 1")
    parser.add_argument("--nj", type=int, default=1, help="number of jobs")
    parser.add_argument("--merge", action="store_true", help="join the finished jobs")
    parser.add_argument("--max_seconds", type=float, default=600.0, help="longest utterance")
    parser.add_argument(
        "--max_failed", type=float, default=0.05, help="tolerated share of bad utterances"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.corpora.format_audio import format_audio, merge
    from espnet_entropy.utils.shards import Job

    job = Job(args.job, args.nj)
    for data, out in paired(args.data, args.out, "--data and --out"):
        if args.merge:
            count = merge(data, out, args.max_seconds, args.max_failed)
            logging.info("%s: %d utterances", out, count)
        else:
            format_audio(data, out, job, args.max_seconds)


if __name__ == "__main__":
    run_main(main)
