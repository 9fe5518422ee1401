"""Turn a data directory into units: dump/raw/<set> -> dump/units/<set>."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--model", required=True, help="directory of the tokenizer")
    parser.add_argument("--data", required=True, help="formatted data directory")
    parser.add_argument("--out", required=True, help="where units.scp goes")
    parser.add_argument("--job", type=int, default=1, help="which job this is, from 1")
    parser.add_argument("--nj", type=int, default=1, help="number of jobs")
    parser.add_argument("--merge", action="store_true", help="write units.scp after all jobs")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--max_failed", type=float, default=0.05, help="tolerated share, 0..1")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.tokenizer.corpus import merge_units, tokenize_corpus

    if args.merge:
        merge_units(args.model, args.data, args.out, args.max_failed)
    else:
        tokenize_corpus(args.model, args.data, args.out, args.job, args.nj, args.device)


if __name__ == "__main__":
    run_main(main)
