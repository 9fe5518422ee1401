"""Two recognizers on one test set: superior, not inferior, and what could have been seen."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--system", type=Path, nargs="+", required=True, help="score directories, one for a seed")
    add("--reference", type=Path, nargs="+", required=True, help="those that it is compared with")
    add("--names", nargs=2, default=["system", "reference"], help="of the two, in the text")
    add("--out", type=Path, help="JSON file for the result")
    add("--metric", default="wer", help="wer or cer")
    add("--part", default="all", help="all, or only new or in_train sentences")
    add("--by", default="auto", help="draw speaker or utterance; auto: speakers where known")
    add("--margin", type=float, default=0.05, help="of non-inferiority, share of the reference")
    add("--alpha", type=float, default=0.025, help="one-sided level of both tests")
    add("--power", type=float, default=0.8, help="of the difference that is stated as detectable")
    add("--resamples", type=int, default=2000, help="of the bootstrap")
    add("--seed", type=int, default=0, help="of the bootstrap")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Compare, print, and write if asked to."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.compare import Options, compare, comparison_text
    from espnet_entropy.evaluation.record import provenance, write_score

    names = ("metric", "part", "by", "margin", "alpha", "power", "resamples", "seed")
    options = Options(**{name: getattr(args, name) for name in names})
    result = compare(args.system, args.reference, options, (args.names[0], args.names[1]))
    if args.out is not None:
        write_score(args.out, {**result, **provenance()})
    print(comparison_text(result))


if __name__ == "__main__":
    run_main(main)
