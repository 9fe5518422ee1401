"""Thresholds of the segmenter from target rates, and the rates they make on other sets."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--scored", type=Path, required=True, help="scored dump to calibrate on (the valid set)")
    add("--config", type=Path, required=True, help="segmenter.yaml: criteria, rates, default")
    add("--rates", type=float, nargs="+", help="targets in Hz; those of the configuration if unset")
    add("--out", type=Path, required=True, help="calibration.yaml; rates.{json,txt} go beside it")
    add("--report", type=Path, nargs="*", default=[], help="scored dumps to report rates on")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Calibrate, report, write; see ``espnet_entropy.segmenter``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.segmenter.report import run_calibration

    print(run_calibration(args.scored, args.config, args.out, args.report, args.rates))


if __name__ == "__main__":
    run_main(main)
