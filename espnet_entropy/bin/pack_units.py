"""Pack units into training lines for the entropy LM.

python -m espnet_entropy.bin.pack_units --config conf/train_entropy_lm.yaml \
    --units dump/units/train --out dump/packed/train
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``pack_units``."""
    parser = Parser(description="Pack units into lines of at most the LM's context.")
    parser.add_argument("--units", required=True, help="dump/units/<set>, or the units.scp in it")
    parser.add_argument("--out", required=True, help="output directory")
    parser.add_argument(
        "--config", help="ESPnet's training configuration: lm_conf's context and dedup count"
    )
    parser.add_argument("--context", type=int, help="without --config: positions of the LM (2048)")
    parser.add_argument(
        "--dedup", action="store_true", help="without --config: drop repetitions of a unit"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the shuffle of utterances")
    parser.add_argument(
        "--max_failed", type=float, default=0.05, help="tolerated share of skipped utterances"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``pack_units``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.entropy_lm.packing import pack_units, packing_options

    context, dedup = packing_options(args.config, args.context, args.dedup)
    lines = pack_units(args.units, args.out, context, dedup, args.seed, args.max_failed)
    logging.info("%s -> %s: %d lines", args.units, args.out, lines)


if __name__ == "__main__":
    run_main(main)
