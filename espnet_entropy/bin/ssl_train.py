"""Train a mel encoder, or go on with a training: masked prediction, CTC, aligned phones.

Stops with status 3 when the time is over before the training is: the same call goes on.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging

UNFINISHED = 3
UNFINISHED_MARKER = "unfinished"  # in the training's directory, beside that status


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--config", required=True, help="conf/train_*.yaml")
    parser.add_argument("--train", required=True, help="packed train set")
    parser.add_argument("--valid", required=True, help="packed valid set")
    parser.add_argument("--targets", help="of ssl_targets, for masked prediction")
    parser.add_argument(
        "--init", help="trained model to begin with, in place of the configuration's"
    )
    parser.add_argument("--out", required=True, help="directory of the training")
    parser.add_argument("--max_minutes", type=float, help="stop and save after this long")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.ssl.config import TrainingConfig
    from espnet_entropy.ssl.packed import PackedSet
    from espnet_entropy.ssl.targets import Targets
    from espnet_entropy.ssl.trainer import Trainer
    from espnet_entropy.utils.config import load_config

    config = load_config(TrainingConfig, args.config, {"init": args.init} if args.init else None)
    targets = None if args.targets is None else Targets.load(args.targets)
    train, valid = PackedSet.load(args.train), PackedSet.load(args.valid)
    trainer = Trainer(config, train, valid, args.out, targets, args.device)
    marker = Path(args.out, UNFINISHED_MARKER)
    marker.unlink(missing_ok=True)
    if not trainer.run(args.max_minutes):
        marker.touch()  # launchers do not pass exit statuses on
        print(f"{args.out}: out of time; the same call goes on", file=sys.stderr)
        sys.exit(UNFINISHED)


if __name__ == "__main__":
    run_main(main)
