"""Decode scored sets with a recognizer.

python -m espnet_entropy.bin.asr_infer --model exp/asr_cale/recognizer \
    --scored dump/asr/test --out exp/asr_cale/decode/test --job 1 --nj 2   (then once with --merge)
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, paired, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``asr_infer``."""
    parser = Parser(description="Scored units -> text for every utterance of a set.")
    add = parser.add_argument
    add("--model", required=True, help="recognizer directory")
    add("--scored", nargs="+", required=True, help="dump/asr/<set> or dump/scored/<set> …")
    add("--out", nargs="+", required=True, help="exp/asr_*/decode/<set> …")
    add("--config", type=Path, help="inference.yaml (default: what the recognizer says)")
    add("--beam_size", type=int, help="hypotheses kept; 1 is greedy")
    add("--max_length", type=int, help="tokens after which a text is cut")
    add("--length_bonus", type=float, help="added to the score per token")
    add("--ctc_weight", type=float, help="share of the CTC prefix score")
    add("--job", type=int, default=1, help="number of this job, from 1")
    add("--nj", type=int, default=1, help="number of jobs")
    add("--device", default="cpu", help="cpu, cuda or cuda:<n>")
    add("--shard_units", type=int, default=50_000, help="units per shard")
    add("--merge", action="store_true", help="merge the jobs' shards into OUT/text")
    add("--max_failed", type=float, default=0.05, help="tolerated share of skipped utterances")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``asr_infer``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.recognizer.config import read_decoding
    from espnet_entropy.recognizer.decode import DecodeStage
    from espnet_entropy.recognizer.model_dir import RecognizerDirectory
    from espnet_entropy.utils.shards import Job

    usual = RecognizerDirectory.open(args.model).manifest.decoding
    decoding = read_decoding(args.config, usual).replace(
        beam_size=args.beam_size,
        max_length=args.max_length,
        length_bonus=args.length_bonus,
        ctc_weight=args.ctc_weight,
    )
    job = Job(args.job, args.nj)
    for scored, out in paired(args.scored, args.out, "--scored and --out"):
        stage = DecodeStage(args.model, scored, out, decoding, args.shard_units)
        if not args.merge:
            stage.run(job, args.device)
            continue
        said = stage.merge(args.max_failed)
        logging.info(
            "%s: %d utterances decoded, %d empty, %d cut at %d tokens, %.2f groups per second",
            out,
            said["utterances"],
            said["empty"],
            said["truncated"],
            decoding.max_length,
            said["rate"],
        )


if __name__ == "__main__":
    run_main(main)
