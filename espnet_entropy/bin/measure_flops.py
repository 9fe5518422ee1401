"""Count the FLOPs of a training step of several configurations: what equal FLOPs are made from.

python -m espnet_entropy.bin.measure_flops --configs a.yaml b.yaml --out costs.json -- ARGUMENTS of
ESPnet's ASR training: data, tokens
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options."""
    parser = Parser(description=__doc__.splitlines()[0] if __doc__ else "")
    add = parser.add_argument
    add("--configs", type=Path, nargs="+", required=True, help="training configurations")
    add("--out", type=Path, required=True, help="JSON: configuration to cost")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Count and write."""
    words = list(sys.argv[1:] if argv is None else argv)
    at = words.index("--") if "--" in words else len(words)
    args = get_parser().parse_args(words[:at])
    setup_logging()
    from espnet_entropy.tasks.training_flops import measure_all
    from espnet_entropy.utils.files import atomic_write

    costs = measure_all(args.configs, words[at + 1 :])
    with atomic_write(args.out) as stream:
        json.dump({name: dataclasses.asdict(cost) for name, cost in costs.items()}, stream)


if __name__ == "__main__":
    run_main(main)
