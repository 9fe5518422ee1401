"""Check and convert the audio of a data directory: data/SET -> dump/raw/SET.

Run it as JOB of NJ for every job, then once with --merge.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--data", required=True, help="data directory to read")
    parser.add_argument("--out", required=True, help="data directory to write")
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

    if args.merge:
        count = merge(args.data, args.out, args.max_seconds, args.max_failed)
        logging.info("%s: %d utterances", args.out, count)
    else:
        format_audio(args.data, args.out, args.job, args.nj, args.max_seconds)


if __name__ == "__main__":
    run_main(main)
