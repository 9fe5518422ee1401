"""Convert a public k-means (km.bin, a pickle that is read without running it).

python -m espnet_entropy.bin.convert_quantizer km.bin --out exp/kmeans

A recipe needs no such call: conf/tokenizer.yaml takes quantizer_conf: {pretrained: km.bin}.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("source", help="joblib or pickle file of a scikit-learn KMeans")
    parser.add_argument("--out", required=True, help="directory to write")
    parser.add_argument(
        "--config", help="conf/tokenizer.yaml with its features: write a whole tokenizer"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.tokenizer.convert import convert

    convert(args.source, args.out, args.config)


if __name__ == "__main__":
    run_main(main)
