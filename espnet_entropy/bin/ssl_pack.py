"""Pack data for training without audio: dump/raw/<set> of several corpora -> dump/packed/<set>."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, paired, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--data", nargs="+", required=True, help="formatted data directories")
    parser.add_argument(
        "--base", nargs="+", help="of each: where relative audio paths start; here, if not given"
    )
    parser.add_argument("--out", required=True, help="directory of the packed set")
    parser.add_argument("--train", help="packed train set, for a valid set: its phones are kept to")
    parser.add_argument("--max_failed", type=float, default=0.05, help="tolerated share, 0..1")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.ssl.pack import pack
    from espnet_entropy.ssl.packed import read_description

    directories = paired(args.data, args.base or ["."] * len(args.data), "--data, --base")
    names = None if args.train is None else read_description(args.train)["label_names"]
    pack(directories, args.out, names, args.max_failed)


if __name__ == "__main__":
    run_main(main)
