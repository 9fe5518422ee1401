"""Stage boundaries: do groups begin where words and phones do, and more often than by chance?"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.evaluate_boundaries``."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--scored", type=Path, required=True, help="scored dump of the set: dump/scored/<set>")
    add("--data", type=Path, required=True, help="its data directory, with ctm.words or ctm.phones")
    add("--calibration", type=Path, required=True, help="calibration.yaml")
    add("--out", type=Path, required=True, help="where score.json goes: exp/boundaries/<set>")
    add("--by_speaker", action="store_true", help="bootstrap over speakers, not utterances")
    add(
        "--equal_rates",
        action="store_true",
        help="find thresholds anew on this set: compares criteria at exactly equal rates",
    )
    add("--seed", type=int, default=0, help="of the bootstrap")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Score the boundaries of one set."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.score_boundaries import score_boundaries
    from espnet_entropy.segmenter.calibrate import CalibrationTable

    table = CalibrationTable.load(args.calibration)
    options = (args.by_speaker, args.seed, args.equal_rates)
    score_boundaries(args.scored, args.data, table, args.out, *options)


if __name__ == "__main__":
    run_main(main)
