"""WER and CER of a decoded set, with confidence intervals and the counts of every utterance."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--ref", type=Path, required=True, help="reference: data/<set>/text")
    add("--hyp", type=Path, required=True, help="decode/<set>/text; decode.yaml beside it is read")
    add("--out", type=Path, required=True, help="for score.json, per_utt.json, aligned.txt")
    add("--test_set", help="its name (default: the directory of --ref)")
    add("--utt2spk", type=Path, help="draw speakers in the bootstrap instead of utterances")
    add("--train_text", type=Path, help="score sentences that occur in it apart from new ones")
    add("--upper_case", action="store_true", help="turn reference and hypothesis to upper case")
    add(
        "--meta", type=Path, nargs="+", default=[], help="YAML or JSON: method, seed, rate, sizes …"
    )
    add("--recognizer", type=Path, help="recognizer directory: criterion, thresholds, seed, sizes")
    add("--scored", type=Path, help="scored dump of the set, for the rate that it was decoded at")
    add("--segmenter", type=Path, help="YAML of the segmenter (default: the recognizer's)")
    add("--seed", type=int, default=0, help="of the bootstrap")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Score and print one line."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.evaluation.asr_meta import complete, read_meta
    from espnet_entropy.evaluation.score_asr import score_asr, summary
    from espnet_entropy.evaluation.transcripts import read_transcripts

    meta = complete(read_meta(args.meta), args.recognizer, args.segmenter, args.scored, args.hyp)
    texts = read_transcripts(args.ref, args.hyp, args.utt2spk, args.train_text, args.upper_case)
    test_set = args.test_set or args.ref.resolve().parent.name
    print(summary(score_asr(texts, args.out, test_set, meta, args.upper_case, args.seed)))


if __name__ == "__main__":
    run_main(main)
