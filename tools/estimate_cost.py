"""What a corpus costs at every stage: GPU hours, core hours, disk and files, with what is assumed.

    python tools/estimate_cost.py --measured tools/bench/stages_cpu.yaml
    python tools/estimate_cost.py --measured tools/bench/stages_cpu.yaml \
        --recipe egs2/librispeech --hours 960 --seconds 12.3
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from espnet_entropy.utils.cli import Parser, run_main

if TYPE_CHECKING:
    from espnet_entropy.evaluation.corpus_cost import Cost

ROOT = Path(__file__).resolve().parents[1]


def get_parser() -> argparse.ArgumentParser:
    """The command's options."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--measured", type=Path, nargs="*", default=[], help="files of tools/bench/bench_stages.py")
    add("--recipe", type=Path, default=ROOT / "egs2/mls_en", help="with units1/conf and asr1/conf")
    add("--hours", type=float, default=20_000, help="of training speech")
    add("--seconds", type=float, default=14.9, help="of a usual utterance (44 660 h in 10.8 M)")
    add("--valid_hours", type=float, default=15.75, help="calibrated on (MLS dev)")
    add("--test_hours", type=float, default=5.4, help="recognized (LibriSpeech test-clean)")
    add("--tokens_per_second", type=float, default=3.4, help="text tokens")
    add("--vocabulary", type=int, default=5000, help="text tokens that exist")
    add("--rate", type=float, default=15.0, help="groups per second")
    add("--num_clusters", type=int, default=500, help="codebook size K")
    add("--tflops_training", type=float, default=60.0, help="a GPU's, in half precision")
    add("--tflops_inference", type=float, default=8.0, help="a GPU's, in single precision, batch 1")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Count the models and print the table."""
    args = get_parser().parse_args(argv)
    from espnet_entropy.evaluation.corpus_cost import Assumed, cost, plan_stages, read_measured
    from espnet_entropy.evaluation.corpus_disk import Names
    from espnet_entropy.evaluation.corpus_models import count_models
    from espnet_entropy.evaluation.training_estimate import Corpus

    measured = read_measured(args.measured)
    assumed = Assumed(args.tflops_training, args.tflops_inference)
    corpus = Corpus(
        args.hours,
        args.seconds,
        args.tokens_per_second,
        args.vocabulary,
        args.rate,
        args.num_clusters,
    )
    with contextlib.redirect_stdout(sys.stderr):  # ESPnet prints what it lacks
        models = count_models(args.recipe, corpus)
    stages = plan_stages(corpus, models, args.valid_hours, args.test_hours, Names())
    costs = [cost(stage, measured, assumed) for stage in stages]
    print(
        f"{args.hours:,g} hours in {args.hours * 3600 / args.seconds:,.0f} utterances; entropy LM "
        f"{models.lm_parameters / 1e6:.1f} M, recognizer {models.asr_parameters / 1e6:.1f} M "
        "parameters.\n"
    )
    print(table(costs))
    for file in measured.values():
        state = ", ".join(f"{key} {value}" for key, value in file.device.items())
        print(f"\nMeasured: {state}; clock {file.clock}; by `{file.command}` (git {file.git}).")


def table(costs: Sequence[Cost]) -> str:
    """Markdown."""
    lines = [
        "| stage | hours of speech | GPU h | core h | GB | files | where it comes from |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in costs:
        stage = line.stage
        cells = [
            stage.name,
            _number(stage.hours),
            _number(line.gpu_hours),
            _number(line.core_hours),
            _number(stage.disk.bytes / 1e9),
            f"{stage.disk.files:,}",
            line.basis,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    gpu = _total([line.gpu_hours for line in costs])
    core = _total([line.core_hours for line in costs if not line.stage.flops])
    size = sum(line.stage.disk.bytes for line in costs) / 1e9
    files = sum(line.stage.disk.files for line in costs)
    total = ["**all**", "", gpu, core, _number(size), f"{files:,}"]
    basis = "core hours: of the stages that use no GPU"
    return "\n".join([*lines, f"| {' | '.join(total)} | {basis} |"])


def _total(hours: Sequence[float | None]) -> str:
    """Their sum: a lower bound if some are unknown, unknown if nothing else is there."""
    known = sum(value or 0.0 for value in hours)
    if None not in hours:
        return _number(known)
    return f"≥ {_number(known)}" if known else _number(None)


def _number(value: float | None) -> str:
    """Three digits at most; nothing for zero, a dash for what is unknown."""
    if value is None:
        return "–"
    if value == 0:
        return ""
    if value < 0.01:
        return "< 0.01"
    return f"{float(f'{value:.3g}'):,g}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"


if __name__ == "__main__":
    run_main(main)
