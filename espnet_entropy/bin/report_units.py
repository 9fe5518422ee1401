"""Stage report: rates, boundaries and pictures of a recipe's units, on one page."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.report_units``."""
    parser = Parser(description=__doc__)
    parser.add_argument("--exp", type=Path, default=Path("exp"), help="experiment directory")
    parser.add_argument("--out", type=Path, default=Path("exp/report"), help="where it goes")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write the report and print its short form."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.report import write_report

    print(write_report(args.exp, args.out))


if __name__ == "__main__":
    run_main(main)
