"""Does a small entropy LM make the groups of a large one? Two dumps of the same units, compared."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.compare_scorers``."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--scored", type=Path, required=True, help="dump of the small LM: dump/scored/<set>")
    add("--reference", type=Path, required=True, help="dump of the large LM of the same units")
    add(
        "--calibrate_on",
        type=Path,
        nargs=2,
        required=True,
        metavar=("SMALL", "LARGE"),
        help="the valid set, scored by both",
    )
    add("--segmenter", type=Path, required=True, help="segmenter.yaml: criteria and rates")
    add("--out", type=Path, required=True, help="where score.json and the table go")
    add("--seed", type=int, default=0, help="of the bootstrap and of chance")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Compare and print the table."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.scorer_agreement import compare_scorers

    print(compare_scorers(**{**vars(args), "calibrate_on": tuple(args.calibrate_on)}))


if __name__ == "__main__":
    run_main(main)
