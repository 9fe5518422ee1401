"""One measurement of latency: from options to ``score.json`` and ``README.md``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from espnet_entropy.evaluation.latency import CLOCKS, Row, Stopwatch, Utterance, measure
from espnet_entropy.evaluation.latency_report import (
    TASK,
    balance,
    conditions,
    describe_device,
    latency_report,
    latency_table,
    summarize,
)
from espnet_entropy.evaluation.latency_systems import (
    RandomRows,
    choose_utterances,
    text_lengths,
    trained_rows,
    waveform_parts,
)
from espnet_entropy.evaluation.record import provenance, read_score, write_score
from espnet_entropy.launch.sweep_file import load_sweep
from espnet_entropy.segmenter.scored import ScoredSet, read_scored
from espnet_entropy.utils.config import check_choice
from espnet_entropy.utils.device import check_device
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.scp import read_scp


def measure_latency(args: argparse.Namespace) -> str:
    """Measure what ``bin/measure_latency`` was asked for.

    Args:
        args: its options.

    Returns:
        The result for the terminal.

    Raises:
        ValueError: for options that do not fit each other, or inputs that cannot be read.
    """
    check_options(args)
    device = check_device(args.device)
    Stopwatch(device, args.clock)  # what is wrong shows before models are built
    scored = read_scored(args.scored)
    lengths = args.text_tokens
    if args.text is not None:
        lengths = text_lengths(read_scp(args.text, allow_empty=True), args.bpemodel)
    utterances = choose_utterances(scored, args.num_utterances, lengths)
    waveform = None
    if args.model is not None:
        waveform = waveform_parts(args.model, scored.num_clusters, args.device)
    rows = make_rows(args, scored, utterances, device)
    names = [row.name for row in rows]
    reference = check_choice(args.reference or names[0], names, "row", "--reference")
    state = describe_device(device)
    beams = sorted(set(args.beams))
    times = measure(rows, utterances, waveform, beams, args.repeats, device, args.clock)
    score = {
        "task": TASK,
        "test_set": scored.name,
        "device": state,
        "clock": args.clock,
        "repeats": args.repeats,
        "weights": "trained" if args.recognizers else f"random, as {args.config} and {args.sweep}",
        **summarize(rows, utterances, times, waveform, beams, reference),
        **provenance(),
    }
    write_score(args.out / "score.json", score)
    score = read_score(args.out / "score.json")
    with atomic_write(args.out / "README.md") as stream:
        stream.write(latency_report(score))
    where = f"The whole report: {(args.out / 'README.md').resolve()}"
    return "\n".join(["", conditions(score), "", latency_table(score), balance(score), where])


def make_rows(
    args: argparse.Namespace,
    scored: ScoredSet,
    utterances: Sequence[Utterance],
    device: torch.device,
) -> list[Row]:
    """Trained recognizers, or the sweep's rows."""
    if args.recognizers:
        pairs = dict(item.partition("=")[::2] for item in args.recognizers)
        paths = {name: Path(path) for name, path in pairs.items()}
        return trained_rows(paths, scored, args.device)
    made = RandomRows(
        config=args.config,
        sweep=load_sweep(args.sweep),
        utterances=utterances,
        num_clusters=scored.num_clusters,
        vocabulary=args.vocabulary,
        device=device,
        segmenter=args.segmenter,
    )
    return made.build(args.rows, args.token_updates)


def check_options(args: argparse.Namespace) -> None:
    """Refuse options that say too little or contradict each other.

    Raises:
        ValueError: naming the option.
    """
    check_choice(args.clock, CLOCKS, "clock", "--clock")
    built = args.config is not None and args.sweep is not None
    if built == bool(args.recognizers) or (args.config is None) != (args.sweep is None):
        raise ValueError(
            "expected either --config and --sweep (random weights) or --recognizers (trained); "
            f"got config {args.config}, sweep {args.sweep}, recognizers {args.recognizers}."
        )
    names = [item.partition("=")[0] for item in args.recognizers]
    for item, name in zip(args.recognizers, names, strict=True):
        if "=" not in item or not name or names.count(name) > 1:
            raise ValueError(f"--recognizers {item}: expected NAME=DIRECTORY, each name once.")
    lowest = {"num_utterances": 1, "text_tokens": 1, "repeats": 1, "vocabulary": 4}
    for option, least in lowest.items():
        if getattr(args, option) < least:
            raise ValueError(f"--{option}: expected at least {least}, got {getattr(args, option)}.")
    if min(args.beams) < 1:
        raise ValueError(f"--beams: expected at least 1 each, got {args.beams}.")
