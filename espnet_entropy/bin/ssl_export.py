"""Make tokenizers of a trained encoder: its best layer, codebooks, a model card."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--train", required=True, help="packed train set")
    parser.add_argument("--valid", required=True, help="packed valid set")
    parser.add_argument("--model", required=True, help="mel encoder, of ssl_train")
    parser.add_argument("--layers", type=int, nargs="+", help="candidates; all, if not given")
    parser.add_argument("--num_clusters", type=int, nargs="+", default=[500, 100], help="each K")
    parser.add_argument("--max_frames", type=int, default=300_000, help="to fit k-means on")
    parser.add_argument("--about", type=Path, help="Markdown that the model card begins with")
    parser.add_argument("--out", required=True, help="exp/units")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.ssl.export import export_units
    from espnet_entropy.ssl.packed import PackedSet

    about = "# Mel encoder" if args.about is None else args.about.read_text(encoding="utf-8")
    train, valid = PackedSet.load(args.train), PackedSet.load(args.valid)
    found = export_units(
        train,
        valid,
        args.model,
        args.out,
        args.num_clusters,
        args.layers,
        about,
        args.max_frames,
        args.device,
    )
    print(found)


if __name__ == "__main__":
    run_main(main)
