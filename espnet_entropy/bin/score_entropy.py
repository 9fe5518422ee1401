"""Score units with an entropy LM.

python -m espnet_entropy.bin.score_entropy --model exp/entropy_lm/export \
    --units dump/units/test --out dump/scored/test --job 1 --nj 2   (then once with --merge)
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from espnet_entropy.entropy_lm.config import DTYPES
from espnet_entropy.utils.cli import Parser, paired, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``score_entropy``."""
    parser = Parser(description="Units -> (unit, entropy in nats) for every utterance of a set.")
    parser.add_argument("--model", required=True, help="directory of an exported entropy LM")
    parser.add_argument("--units", nargs="+", required=True, help="dump/units/<set> …")
    parser.add_argument("--out", nargs="+", required=True, help="dump/scored/<set> …")
    parser.add_argument("--job", type=int, default=1, help="number of this job, from 1")
    parser.add_argument("--nj", type=int, default=1, help="number of jobs")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:<n>")
    parser.add_argument(
        "--dtype", default=DTYPES[0], choices=DTYPES, help="of the matrix products; one per set"
    )
    parser.add_argument(
        "--compile", action="store_true", help="torch.compile, for bfloat16 on a GPU; takes a while"
    )
    parser.add_argument("--shard_units", type=int, default=50_000, help="units per shard")
    parser.add_argument("--merge", action="store_true", help="merge the jobs' shards")
    parser.add_argument(
        "--max_failed", type=float, default=0.05, help="tolerated share of skipped utterances"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run ``score_entropy``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.entropy_lm.scoring import ScoreStage
    from espnet_entropy.utils.shards import Job

    job = Job(args.job, args.nj)
    for units, out in paired(args.units, args.out, "--units and --out"):
        stage = ScoreStage(args.model, units, out, args.shard_units, args.dtype)
        if args.merge:
            logging.info("%s: %d utterances scored", out, stage.merge(args.max_failed))
        else:
            stage.run(job, args.device, args.compile)


if __name__ == "__main__":
    run_main(main)
