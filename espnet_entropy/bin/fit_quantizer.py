"""Fit a tokenizer's quantizer to a data directory: dump/raw/<set> -> exp/tokenizer.

Where the configuration names a ready one (quantizer_conf: {pretrained: km.bin}), nothing is
fitted: the data are not read, and the call without --job writes the tokenizer. Features 'phones'
are of the alignment: one call reads it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--config", required=True, help="conf/tokenizer.yaml")
    parser.add_argument("--data", required=True, help="formatted data directory")
    parser.add_argument("--out", required=True, help="directory of the tokenizer")
    parser.add_argument(
        "--job", type=int, help="only sample the frames of this job, from 1; fit in a later call"
    )
    parser.add_argument("--nj", type=int, default=1, help="number of jobs")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--max_failed", type=float, default=0.05, help="tolerated share, 0..1")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.tokenizer.config import TokenizerConfig
    from espnet_entropy.tokenizer.convert import adopt
    from espnet_entropy.tokenizer.fit import TokenizerFit
    from espnet_entropy.utils.config import load_config
    from espnet_entropy.utils.shards import Job

    config = load_config(TokenizerConfig, args.config)
    ready = config.quantizer_conf.pretrained
    if ready is not None:
        if args.job is None:
            adopt(config, ready, args.out, args.device)
        return
    if config.features == "phones":
        if args.job is None:
            from espnet_entropy.tokenizer.phone_features import fit_phones

            fit_phones(config, args.data, args.out)
        return
    fit = TokenizerFit(config, args.data, args.out, args.device)
    if args.job is not None:
        fit.extract(Job(args.job, args.nj))
    else:
        fit.run(args.max_failed)


if __name__ == "__main__":
    run_main(main)
