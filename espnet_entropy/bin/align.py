"""Stage align: words and phones in time, by MFA or CTC, or from TextGrids that exist."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.align``."""
    parser = Parser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="data directory to align")
    parser.add_argument(
        "--method",
        choices=["auto", "mfa", "ctc", "textgrid"],
        default="auto",
        help="auto: MFA where it is installed, else CTC; textgrid: take over --textgrids",
    )
    parser.add_argument(
        "--textgrids", type=Path, help="directory of <utt>.TextGrid files, as MFA writes it"
    )
    parser.add_argument("--text", default="text", help="transcript file of the data directory")
    parser.add_argument("--mfa", default="mfa", help="the mfa executable")
    parser.add_argument("--dictionary", default="english_us_arpa", help="MFA dictionary")
    parser.add_argument("--acoustic_model", default="english_us_arpa", help="MFA acoustic model")
    parser.add_argument(
        "--ctc_model",
        default=None,
        help="CTC model, directory or hub name; or mel encoder trained with CTC",
    )
    parser.add_argument(
        "--tokens", choices=["char", "phone"], default="char", help="of the CTC model"
    )
    parser.add_argument("--device", default="cpu", help="of the CTC model")
    parser.add_argument("--nj", type=int, default=1, help="processes of MFA")
    parser.add_argument("--max_failed", type=float, default=0.05, help="tolerated failures (share)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing alignment")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Align one data directory."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.align import AlignConfig, align

    options = {k: v for k, v in vars(args).items() if k not in ("data", "overwrite")}
    align(args.data, AlignConfig(**options), overwrite=args.overwrite)


if __name__ == "__main__":
    run_main(main)
