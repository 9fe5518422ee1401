"""Stage prepare: a scored dump and its texts as ESPnet's trainer reads them."""

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
    add("--scored", type=Path, required=True, help="scored dump")
    add("--text", type=Path, required=True, help="<utt> <text> lines")
    add("--out", type=Path, required=True, help="where scored.scp, text and speech_shape go")
    add("--min_units", type=int, default=1, help="leave shorter utterances out; units at 50 Hz")
    add("--max_units", type=int, help="leave longer utterances out; units at 50 Hz")
    add("--max_characters", type=int, help="leave utterances with longer texts out")
    add("--max_failed", type=float, default=0.05, help="largest tolerated share left out")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Prepare one set."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.tasks.asr_data import Limits, prepare_set

    limits = Limits(args.min_units, args.max_units, args.max_characters)
    count = prepare_set(args.scored, args.text, args.out, limits, args.max_failed)
    logging.info("%s -> %s: %d utterances", args.scored, args.out, count)


if __name__ == "__main__":
    run_main(main)
