"""What a stream loses against full context, and how long a group waits until it is handed out."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.evaluate_streaming``."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--model", type=Path, required=True, help="model directory: exp/compressor")
    add("--data", type=Path, required=True, help="formatted data directory: dump/raw/<set>")
    add("--out", type=Path, required=True, help="where score.json goes: exp/streaming/<set>")
    add("--criterion", help="where groups begin (default: the model's; see espnet-entropy info)")
    add("--rate", type=float, help="groups per second of audio (default: the model's)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 …")
    add("--max_failed", type=float, default=0.05, help="tolerated share of bad utterances")
    add("--seed", type=int, default=0, help="of the bootstrap")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate one set and print the result in one line."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.streaming import evaluate_streaming

    print(evaluate_streaming(**vars(args)))


if __name__ == "__main__":
    run_main(main)
