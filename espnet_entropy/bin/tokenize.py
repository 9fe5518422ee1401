"""Turn a data directory into units: dump/raw/<set> -> dump/units/<set>."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, paired, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--model", required=True, help="directory of the tokenizer")
    parser.add_argument("--data", nargs="+", required=True, help="formatted data directories")
    parser.add_argument("--out", nargs="+", required=True, help="for each, where units.scp goes")
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
    from espnet_entropy.utils.shards import Job

    job = Job(args.job, args.nj)
    for data, out in paired(args.data, args.out, "--data and --out"):
        if args.merge:
            merge_units(args.model, data, out, args.max_failed)
        else:
            tokenize_corpus(args.model, data, out, job, args.device)


if __name__ == "__main__":
    run_main(main)
