"""Average a training's best epochs and pack them into one recognizer directory."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--exp", type=Path, required=True, help="output directory of bin/asr_train")
    add("--out", type=Path, required=True, help="the new recognizer directory")
    add("--n_average", type=int, default=5, help="best epochs to average; fewer if there are fewer")
    add("--checkpoint", metavar="FILE", help="weights in EXP instead: valid.acc.best.pth, say")
    add("--config", type=Path, help="inference.yaml: how it decodes if nothing else is said")
    add("--compressor", type=Path, help="model directory (default: that of frontend_conf)")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Pack; see ``espnet_entropy.recognizer.pack``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.recognizer.config import DecodingConfig, read_decoding
    from espnet_entropy.recognizer.pack import pack

    decoding = read_decoding(args.config, DecodingConfig())
    made = pack(args.exp, args.out, args.n_average, args.checkpoint, decoding, args.compressor)
    said = made.manifest
    logging.info(
        "%s -> %s: fingerprint %s, %d parameters",
        args.exp,
        args.out,
        said.fingerprint,
        said.parameters["total"],
    )


if __name__ == "__main__":
    run_main(main)
