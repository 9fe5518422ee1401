"""Add figures of other sets to the card of exported units."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--units", required=True, help="what ssl_export wrote")
    parser.add_argument(
        "--figures",
        nargs="+",
        required=True,
        metavar="NAME=FILE",
        help="of each set: what to call it, and the score.json that evaluate_units wrote",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.ssl.card import write_figures

    figures = [(name, file) for name, _, file in (word.partition("=") for word in args.figures)]
    if not all(file for _, file in figures):
        raise ValueError(f"--figures: expected NAME=FILE, got '{' '.join(args.figures)}'.")
    print(write_figures(args.units, figures))


if __name__ == "__main__":
    run_main(main)
