"""Fetch, check and unpack a corpus; run it again after a break, it goes on where it stopped."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    from espnet_entropy.corpora.sources import OFFERS

    offers = "; ".join(f"{name}: {', '.join(o.archives)}" for name, o in OFFERS.items())
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--corpus", required=True, help=f"one of {', '.join(OFFERS)}")
    add("--out", type=Path, required=True, metavar="DIR", help="the corpus folder")
    add(
        "--parts", default="", help=f"separated by commas; the corpus's default if unset ({offers})"
    )
    add("--url", help="a mirror: the folder with the archives and the list of checksums")
    add("--remove_archives", action="store_true", help="remove an archive once it is unpacked")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; see ``espnet_entropy.corpora.sources``."""
    args = get_parser().parse_args(argv)
    setup_logging()
    from espnet_entropy.corpora.sources import fetch_corpus

    parts = [part for part in args.parts.split(",") if part]
    fetch_corpus(args.corpus, args.out, parts, args.url, not args.remove_archives)


if __name__ == "__main__":
    run_main(main)
