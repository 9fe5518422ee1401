"""Latency and cost of recognition by part (the paper's table 6), ours beside the paper's.

With --config and --sweep rows are built with random weights, which do not change the time of a
fixed number of steps; with --recognizers trained ones are timed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.measure_latency``."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, help="ASR training configuration that the rows change")
    add("--sweep", type=Path, help="sweep file with the rows")
    add("--rows", nargs="+", default=[], help="rows of the sweep; default: those of table 6")
    updates = ("full", "window", "none")
    add("--token_updates", nargs="+", choices=updates, default=updates, help="CALE's, each a row")
    add("--segmenter", type=Path, help="segmenter.yaml, for criteria with limits (min_group …)")
    add("--vocabulary", type=int, default=5000, help="text tokens of models with random weights")
    add("--recognizers", nargs="+", default=[], metavar="NAME=DIR", help="trained recognizers")
    add("--reference", help="row that ratios are of; default: the first")
    add("--scored", type=Path, required=True, help="scored dump: dump/scored/<set>")
    add("--model", help="model directory whose features, quantizer and entropy LM are timed too; "
        "'paper': HuBERT base and LM of the paper's sizes, random weights")  # fmt: skip
    add("--num_utterances", type=int, default=20, help="at equal distances in order of length")
    add("--text_tokens", type=int, default=40, help="length of every text")
    add("--text", type=Path, help="Kaldi text: take each utterance's own length instead")
    add("--bpemodel", type=Path, help="pieces in which --text is counted; default: characters")
    add("--beams", type=int, nargs="+", default=[1, 5], help="beam sizes; 1 is greedy")
    add("--repeats", type=int, default=3, help="of which the fastest counts")
    add("--device", default="cpu", help="cpu, cuda or cuda:<n>")
    add("--clock", default="wall", help="wall, or cpu: CPU time, for a busy machine")
    add("--out", type=Path, required=True, help="directory for score.json and README.md")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, write and print."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.latency_run import measure_latency

    print(measure_latency(args))


if __name__ == "__main__":
    run_main(main)
