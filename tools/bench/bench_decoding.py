#!/usr/bin/env python
"""Beam search over a batch beside ESPnet's, one utterance at a time: same model, same vectors.

python tools/bench/bench_decoding.py --model exp/asr/recognizer --scored dump/asr/test \\
    [--utterances 64] [--ctc_weights 0 0.3] [--batches 1 8 32]

The model is a trained one, as what is searched depends on how sure it is. The encoder runs once,
outside of what is measured. ESPnet's search is as its ``asr_inference`` sets it up
(``maxlenratio: 0``, so that its end detection stops it). CPU time of one thread, milliseconds per
utterance: other processes do not count.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from espnet_entropy.utils.cli import Parser, run_main

if TYPE_CHECKING:
    import torch


def get_parser() -> argparse.ArgumentParser:
    """Options of the benchmark."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="recognizer directory")
    parser.add_argument("--scored", required=True, help="prepared set of a recipe: dump/asr/<set>")
    parser.add_argument("--utterances", type=int, default=64)
    parser.add_argument("--beam_size", type=int, default=5)
    parser.add_argument("--ctc_weights", type=float, nargs="+", default=[0.0, 0.3])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    return parser


def encoded(recognizer: Any, scored: str, utterances: int) -> list[torch.Tensor]:
    """(M, D) vectors of the set's first utterances, from the longest to the shortest."""
    import torch

    from espnet_entropy.utils.ark import Arrays

    arrays = Arrays.load(f"{scored}/scored.scp")
    vectors = []
    with torch.no_grad():
        for utt in list(arrays)[:utterances]:
            speech = torch.from_numpy(arrays[utt])[None]
            memory, _ = recognizer.model.encode(speech, torch.tensor([speech.shape[1]]))
            vectors.append(memory[0])
    return sorted(vectors, key=len, reverse=True)


def ours(model: Any, vectors: list[torch.Tensor], config: Any, batch: int) -> list[list[int]]:
    """Texts, as token numbers, ``batch`` utterances at a time."""
    import torch

    from espnet_entropy.recognizer.search import search

    texts = []
    for start in range(0, len(vectors), batch):
        rows = vectors[start : start + batch]
        lengths = torch.tensor([len(row) for row in rows])
        memory = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        texts += [found.tokens for found in search(model, memory, lengths, config)]
    return texts


def espnet(model: Any, vectors: list[torch.Tensor], config: Any) -> list[list[int]]:
    """The same by ESPnet's search."""
    import torch
    from espnet.nets.batch_beam_search import BatchBeamSearch
    from espnet.nets.scorers.ctc import CTCPrefixScorer
    from espnet.nets.scorers.length_bonus import LengthBonus

    scorers = {"decoder": model.decoder, "length_bonus": LengthBonus(model.vocab_size)}
    weights = {"decoder": 1 - config.ctc_weight, "length_bonus": config.length_bonus}
    if config.ctc_weight > 0:
        scorers["ctc"] = CTCPrefixScorer(ctc=model.ctc, eos=model.eos)
        weights["ctc"] = config.ctc_weight
    beam = BatchBeamSearch(
        scorers=scorers,
        weights=weights,
        beam_size=config.beam_size,
        vocab_size=model.vocab_size,
        sos=model.sos,
        eos=model.eos,
        pre_beam_score_key="full",
    )
    with torch.no_grad():
        found = [beam(x=row, maxlenratio=0.0) for row in vectors]
    return [[t for t in best[0].yseq.tolist() if t != model.eos] if best else [] for best in found]


def timed(run: Callable[[], list[list[int]]], count: int) -> tuple[float, list[list[int]]]:
    """CPU milliseconds per utterance, and the texts."""
    start = time.process_time()
    texts = run()
    return 1e3 * (time.process_time() - start) / count, texts


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    args = get_parser().parse_args(arguments)
    import logging

    import torch

    from espnet_entropy.recognizer.speech_to_text import SpeechToText

    torch.set_num_threads(1)
    recognizer = SpeechToText.from_pretrained(args.model)
    logging.disable(logging.WARNING)  # ESPnet's search tells of every utterance
    vectors = encoded(recognizer, args.scored, args.utterances)
    mean = sum(map(len, vectors)) / len(vectors)
    print(
        f"{len(vectors)} utterances of {mean:.0f} groups, beam {args.beam_size}; ms per utterance"
    )
    heads = "".join(f" | ours, batch {batch}" for batch in args.batches)
    print(f"| CTC | ESPnet{heads} | same text |\n|{'---|' * (len(args.batches) + 3)}")
    for weight in args.ctc_weights:
        config = recognizer.decoding.replace(ctc_weight=weight, beam_size=args.beam_size)
        ours(recognizer.model, vectors[:4], config, 4)  # what the first call costs more
        rows = [timed(lambda c=config: espnet(recognizer.model, vectors, c), len(vectors))]
        for batch in args.batches:
            run = lambda c=config, b=batch: ours(recognizer.model, vectors, c, b)  # noqa: E731
            rows.append(timed(run, len(vectors)))
        same = sum(a == b for a, b in zip(rows[0][1], rows[-1][1], strict=True))
        times = " | ".join(f"{ms:.1f}" for ms, _ in rows)
        print(f"| {weight:g} | {times} | {same} of {len(vectors)} |", flush=True)


if __name__ == "__main__":
    run_main(main)
