"""Train dedup + BPE over units, the baseline of discrete-unit recipes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--scored", type=Path, required=True, help="scored dump to train on (the training set)")
    add("--vocab_size", type=int, required=True, help="pieces, the K units and one more included")
    add("--out", type=Path, required=True, help="directory for unit_bpe.model and unit_bpe.yaml")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Train and say the rate; see ``espnet_entropy.segmenter.unit_bpe``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.segmenter.unit_bpe import UnitBPE

    card = UnitBPE.train(args.scored, args.vocab_size, args.out).card
    print(f"{args.out}: {card.size} pieces, {card.rate:.2f} Hz on {card.trained_on}")


if __name__ == "__main__":
    run_main(main)
