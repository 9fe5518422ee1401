"""Predict time and GPU memory of an ASR training from its configuration and a throughput."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.estimate_training``."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, required=True, help="ASR training configuration")
    add("--tflops", type=float, required=True, help="throughput that the GPU is assumed to keep up")
    add("--hours", type=float, default=100.6, help="of training speech")
    add("--seconds", type=float, default=12.7, help="of a usual utterance")
    add("--tokens_per_second", type=float, default=5.0, help="text tokens")
    add("--vocabulary", type=int, default=500, help="text tokens that exist")
    add("--rate", type=float, default=15.0, help="groups per second")
    add("--num_clusters", type=int, default=500, help="codebook size K")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Predict and print, with what is assumed."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.training_estimate import (
        Corpus,
        describe_estimate,
        estimate_training,
    )

    fields = [field.name for field in dataclasses.fields(Corpus)]
    corpus = Corpus(**{name: getattr(args, name) for name in fields})
    found = estimate_training(args.config, corpus, args.tflops)
    print(describe_estimate(found, corpus, args.tflops, args.config))


if __name__ == "__main__":
    run_main(main)
