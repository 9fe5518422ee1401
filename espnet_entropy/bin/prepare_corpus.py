"""Make the data directories of a corpus."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from espnet_entropy.corpora import CORPORA, prepare_corpus
from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__)
    parser.add_argument("--corpus", required=True, help=f"one of {', '.join(CORPORA)}")
    parser.add_argument("--source", help="the corpus folder (a generated corpus needs none)")
    parser.add_argument("--out", default="data", help="where the sets go: OUT/<set>/")
    parser.add_argument(
        "--nj", type=int, help="processes at a time, for a corpus that makes use of them"
    )
    parser.add_argument(
        "--download",
        choices=("true", "false"),
        default="false",
        help="fetch what is missing to --source first (librispeech, mls_en)",
    )
    parser.add_argument("--url", help="a mirror to download from")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of this corpus; may be repeated",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    options, fetch = parse_options(args.option), args.download == "true"
    prepare_corpus(args.corpus, args.source, args.out, options, args.nj, fetch, args.url)


def parse_options(pairs: Sequence[str]) -> dict[str, object]:
    """``["a=1", "b=x"]`` as ``{"a": 1, "b": "x"}``, values read as YAML scalars.

    Raises:
        ValueError: for an entry without ``=``, or whose value is not YAML.
    """
    import yaml

    options: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--option {pair}: expected KEY=VALUE.")
        try:
            options[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ValueError(f"--option {pair}: not a YAML value; quote it.") from error
    return options


if __name__ == "__main__":
    run_main(main)
