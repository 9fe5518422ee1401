"""Several data directories as one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("data_dirs", nargs="+", metavar="DIR", help="data directory")
    parser.add_argument("--out", required=True, help="the new data directory")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.corpora.combine import combine

    combine(args.data_dirs, args.out)


if __name__ == "__main__":
    run_main(main)
