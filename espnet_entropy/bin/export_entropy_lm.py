"""Export a trained entropy LM.

python -m espnet_entropy.bin.export_entropy_lm --exp exp/entropy_lm --out exp/entropy_lm/export
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``export_entropy_lm``."""
    parser = Parser(description="ESPnet's checkpoint -> model.safetensors and config.yaml.")
    parser.add_argument("--exp", required=True, help="output directory of lm_train")
    parser.add_argument("--out", required=True, help="directory to write")
    parser.add_argument(
        "--units_meta", "--units-meta", help="meta.yaml of the units that the LM is meant for"
    )
    parser.add_argument("--checkpoint", default="valid.loss.best.pth", help="file in --exp")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``export_entropy_lm``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.entropy_lm.export import export

    card = export(args.exp, args.out, args.units_meta, args.checkpoint)
    logging.info("%s -> %s: %s", args.exp, args.out, card.training)


if __name__ == "__main__":
    run_main(main)
