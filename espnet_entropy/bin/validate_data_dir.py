"""Say what is wrong with data directories; exit status 1 if anything is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("data_dirs", nargs="+", metavar="DIR", help="data directory")
    parser.add_argument("--audio", action="store_true", help="decode every file as well")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    from espnet_entropy.corpora.validate import inspect_data_dir

    failed = False
    for path in args.data_dirs:
        report = inspect_data_dir(path, args.audio)
        for message in report.warnings:
            print(f"warning: {message}", file=sys.stderr)
        for message in report.problems:
            print(f"error: {message}", file=sys.stderr)
        if report.problems:
            failed = True
        else:
            print(f"{path}: valid")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    run_main(main)
