"""Choose a layer and K: phone and cluster purity, PNMI, ABX, rate and boundaries of units.

With --config, k-means of each K is fitted on each layer of a model (features of all layers are
computed once) and compared on held-out speakers; with --tokenizer, a ready tokenizer is
evaluated as it is. Writes OUT/<set>/score.json, OUT/README.md with a table and pictures.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from espnet_entropy.utils.cli import Parser, paired, run_main, setup_logging


def get_parser() -> argparse.ArgumentParser:
    """Options of ``python -m espnet_entropy.bin.evaluate_units``."""
    parser = Parser(description=__doc__)
    add = parser.add_argument
    add("--config", type=Path, help="conf/unit_quality.yaml: model, layers, sizes, ABX items")
    add("--tokenizer", type=Path, help="evaluate this tokenizer instead of fitting any")
    add("--train", type=Path, help="formatted set to fit on; not needed with --tokenizer")
    add("--test", nargs="+", required=True, help="formatted sets with ctm.phones")
    add("--scored", nargs="+", help="with --tokenizer: the sets' scored dumps, for boundaries")
    add("--out", type=Path, required=True, help="exp/unit_quality")
    add("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    add("--max_failed", type=float, default=0.05, help="tolerated share, 0..1")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = get_parser().parse_args(argv)
    setup_logging()
    if (args.tokenizer is None) == (args.train is None):
        raise ValueError("give --train to fit units, or --tokenizer to evaluate ready ones.")
    if args.tokenizer is None and args.scored:
        raise ValueError("--scored goes with --tokenizer: units fitted here have no entropy LM.")
    names = [Path(test).name for test in args.test]
    if len(set(names)) < len(names):
        raise ValueError(
            f"--test: {' '.join(names)}: two sets of one name; give each an --out of its own."
        )
    scored = paired(args.test, args.scored or [None] * len(args.test), "--test, --scored")
    from espnet_entropy.evaluation.unit_quality import evaluate_units
    from espnet_entropy.evaluation.unit_quality_report import write_quality_report
    from espnet_entropy.evaluation.unit_systems import (
        SystemsFit,
        UnitQualityConfig,
        layered_features,
        ready_system,
    )
    from espnet_entropy.tokenizer.tokenizer import Tokenizer
    from espnet_entropy.utils.config import load_config

    config = load_config(UnitQualityConfig, args.config) if args.config else UnitQualityConfig()
    if args.tokenizer is not None:
        layered, systems = ready_system(Tokenizer.from_pretrained(args.tokenizer, args.device))
    else:
        layered = layered_features(config, args.device)
        fit = SystemsFit(config, layered, args.train, args.out / "units", args.device)
        systems = fit.run(args.max_failed)
    scores = [
        evaluate_units(
            test,
            args.out / Path(test).name,
            config,
            layered,
            systems,
            dump,
            args.max_failed,
            args.device,
        )
        for test, dump in scored
    ]
    print(write_quality_report(scores, args.out))


if __name__ == "__main__":
    run_main(main)
