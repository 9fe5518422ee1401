"""Stage report: one recognizer's results on one page, or a sweep's table beside the paper's."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.report_asr``."""
    parser = Parser(description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--exp", type=Path, help="experiment directory, with decode/<set>/score.json")
    what.add_argument("--sweep", type=Path, help="directory of a sweep: exp/sweep/<name>")
    add = parser.add_argument
    add("--out", type=Path, required=True, help="where the report goes")
    places = [Path("."), Path("../../TEMPLATE/asr1")]
    add("--places", type=Path, nargs="+", default=places, help="where conf/sweep/<name>.yaml is")
    add("--margin", type=float, default=0.05, help="of non-inferiority, share of the reference")
    add("--by", default="auto", help="draw speaker or utterance; auto: speakers where known")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write the report and print its short form."""
    args = get_parser().parse_args(argv)
    setup_logging()
    if args.exp is not None:
        from espnet_entropy.evaluation.asr_report import write_asr_report

        print(write_asr_report(args.exp, args.out))
        return
    from espnet_entropy.evaluation.compare import Options
    from espnet_entropy.evaluation.sweep_table import write_sweep_report
    from espnet_entropy.launch.sweep_file import load_copy

    sweep = load_copy(args.sweep, args.places)
    options = Options(margin=args.margin, by=args.by)
    print(write_sweep_report(sweep, args.sweep, args.out, options))


if __name__ == "__main__":
    run_main(main)
