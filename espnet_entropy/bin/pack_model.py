"""Tokenizer, entropy LM and calibration into one model directory with a model card."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--tokenizer", type=Path, required=True, help="directory of the tokenizer")
    add("--entropy_lm", type=Path, required=True, help="directory of the exported entropy LM")
    add("--calibration", type=Path, required=True, help="calibration.yaml")
    add("--config", type=Path, required=True, help="segmenter.yaml: the default criterion and rate")
    add("--recipe", default="", help="where the model was made, for the model card")
    add("--out", type=Path, required=True, help="the new model directory")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Assemble the directory; see ``espnet_entropy.compressor.model_dir``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.compressor.card import model_card
    from espnet_entropy.compressor.model_dir import ModelDirectory
    from espnet_entropy.segmenter.config import load_plan

    plan = load_plan(args.config)
    ModelDirectory.assemble(
        args.out,
        args.tokenizer,
        args.entropy_lm,
        args.calibration,
        criterion=plan.default.criterion,
        rate=plan.default.rate,
        card=model_card(args.tokenizer, args.entropy_lm, args.calibration, args.recipe),
    )


if __name__ == "__main__":
    run_main(main)
