"""Make what masked prediction predicts: clusters of MFCC, or of a trained model's best layer."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--train", required=True, help="packed train set")
    parser.add_argument("--valid", required=True, help="packed valid set")
    parser.add_argument("--out", required=True, help="file to write")
    parser.add_argument("--model", help="mel encoder; MFCC, if not given")
    parser.add_argument(
        "--layers", type=int, nargs="+", help="candidates; the highest PNMI on valid wins"
    )
    parser.add_argument("--num_clusters", type=int, default=100, help="K")
    parser.add_argument("--max_frames", type=int, default=300_000, help="to fit k-means on")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    if args.layers is not None and args.model is None:
        raise ValueError("--layers: MFCC have none; name a --model.")
    from espnet_entropy.ssl.packed import PackedSet
    from espnet_entropy.ssl.targets import layer_targets, mfcc_targets
    from espnet_entropy.tokenizer.config import KMeansConfig

    train, valid = PackedSet.load(args.train), PackedSet.load(args.valid)
    config = KMeansConfig(num_clusters=args.num_clusters, max_frames=args.max_frames)
    if args.model is None:
        targets = mfcc_targets(train, valid, config, args.device)
    else:
        targets = layer_targets(train, valid, args.model, config, args.layers, args.device)
    targets.save(args.out)
    print({key: value for key, value in targets.about.items() if key not in ("train", "valid")})


if __name__ == "__main__":
    run_main(main)
