"""Stage token_list: characters or BPE pieces of the training text."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--text", type=Path, required=True, help="<utt> <text> lines of the training set")
    add("--type", choices=["char", "bpe"], default="bpe", help="what a token is")
    add("--size", type=int, default=5000, help="BPE pieces, at most")
    add("--out", type=Path, required=True, help="where tokens.txt and bpe.model go")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Make the list."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.tasks.token_list import make_token_list

    count = make_token_list(args.text, args.type, args.size, args.out)
    logging.info("%s: %d tokens", args.out, count)


if __name__ == "__main__":
    run_main(main)
