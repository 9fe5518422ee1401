"""A study of recognition: write its sweep and its recipes of units, or its report.

python -m espnet_entropy.bin.study_asr --study conf/study.yaml --write exp/study.yaml
python -m espnet_entropy.bin.study_asr --study conf/study.yaml --out exp/report_study
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--study", required=True, help="conf/study.yaml")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", type=Path, help="write this sweep file, and exp/units1_*")
    what.add_argument("--out", type=Path, help="write the report there")
    add("--sweep", type=Path, default=Path("exp/sweep/study"), help="results, for the report")
    add("--units_args", default="", help="words: options of units.sh for every recipe of units")
    add("--data", default="local/data.sh", help="script that makes the data, from this directory")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Write, or report."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.launch.study_file import Study
    from espnet_entropy.utils.config import load_config

    study = load_config(Study, args.study)
    if args.write is not None:
        from espnet_entropy.launch.study_write import write_sweep, write_units

        write_sweep(study, args.write)
        write_units(study, shlex.split(args.units_args), Path(args.data))
        return
    from espnet_entropy.evaluation.study_report import write_study_report

    print(write_study_report(study, args.sweep, args.out))


if __name__ == "__main__":
    run_main(main)
