"""Stage ``score`` of one test set: ``score.json``, ``per_utt.json``, ``aligned.txt``."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.evaluation.asr_meta import Meta
from espnet_entropy.evaluation.bootstrap import (
    RESAMPLES,
    Resampled,
    interval,
    resampling_weights,
)
from espnet_entropy.evaluation.per_utt import FILE, write_per_utt
from espnet_entropy.evaluation.record import provenance, write_score
from espnet_entropy.evaluation.transcripts import Transcripts
from espnet_entropy.evaluation.wer import (
    KINDS,
    METRICS,
    ErrorCounts,
    alignment_lines,
    count_errors,
    signature,
)
from espnet_entropy.utils.files import atomic_write

TASK = "asr"
FEW_SPEAKERS = 10  # below, an interval over speakers is a rough one: it is said in the result
_PARTS = {"in_train": True, "new": False}


def score_asr(
    texts: Transcripts,
    out: str | Path,
    test_set: str,
    meta: Meta,
    upper_case: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """Score what was recognized of a set.

    Args:
        texts: of :func:`transcripts.read_transcripts`.
        out: directory of the three files; ``score.json`` comes last.
        test_set: its name.
        meta: of :func:`asr_meta.complete`.
        upper_case: whether texts were turned to upper case, for the signature.
        seed: of the bootstrap.

    Returns:
        The content of ``score.json``.
    """
    out = Path(out)
    counts = {kind: count_errors(texts.references, texts.hypotheses, kind) for kind in KINDS}
    score = {
        "task": TASK,
        "test_set": test_set,
        **meta,
        **_figures(texts, counts, seed),
        "signatures": {"wer": signature(upper_case), "cer": signature(upper_case)},
        **provenance(),
    }
    write_per_utt(out / FILE, test_set, texts, counts)
    _write_aligned(out / "aligned.txt", texts, counts["words"])
    write_score(out / "score.json", score)
    if note := score["bootstrap"]["note"]:
        logging.warning("%s: %s", test_set, note)
    return score


def _figures(texts: Transcripts, counts: dict[str, ErrorCounts], seed: int) -> dict[str, Any]:
    """WER and CER of the whole set, and of its sentences seen and not seen in training."""
    everything = np.ones(len(texts.utts), dtype=bool)
    figures = _part(texts, counts, everything, seed)
    if texts.in_train is not None:
        figures["parts"] = {
            name: _part(texts, counts, texts.in_train == value, seed)
            for name, value in _PARTS.items()
        }
    figures["missing"] = texts.missing_utts
    return figures


def _part(
    texts: Transcripts, counts: dict[str, ErrorCounts], chosen: np.ndarray, seed: int
) -> dict[str, Any]:
    """Figures of the chosen utterances; rates are NaN where there are none."""
    number = int(chosen.sum())
    figures: dict[str, Any] = {"utterances": number}
    if number == 0:
        return figures | dict.fromkeys(METRICS)
    speakers = None
    if texts.speakers is not None:
        speakers = [s for s, is_in in zip(texts.speakers, chosen, strict=True) if is_in]
    bootstrap = _bootstrap(speakers, number, seed)
    by_speaker = bootstrap["by"] == "speaker"
    weights = resampling_weights(number, speakers if by_speaker else None, seed=seed)
    for metric, kind in METRICS.items():
        part = counts[kind].where(chosen)
        estimate = interval(Resampled(part, weights), lambda c: c.rate)
        figures[metric] = {**dataclasses.asdict(estimate), **part.pooled().as_dict()}
    wrong = int((counts["words"].errors[chosen] > 0).sum())
    return figures | {"utterances_with_errors": wrong, "bootstrap": bootstrap}


def _bootstrap(speakers: list[str] | None, utterances: int, seed: int) -> dict[str, Any]:
    """What is drawn, and what to think of it."""
    number = None if speakers is None else len(set(speakers))
    by_speaker = number is not None and number > 1  # of one speaker nothing can be drawn
    note = ""
    if number == 1:
        note = "one speaker only: utterances were drawn; says nothing about other speakers"
    elif by_speaker and number is not None and number < FEW_SPEAKERS:
        note = f"only {number} speakers: the interval is rough, and likely too narrow"
    return {
        "by": "speaker" if by_speaker else "utterance",
        "speakers": number,
        "resamples": RESAMPLES,
        "seed": seed,
        "note": note,
    }


def _write_aligned(path: Path, texts: Transcripts, words: ErrorCounts) -> None:
    """Reference and hypothesis word above word: most errors first, utterances without at the end.

    ``***`` stands for a word that the other text has in its place.
    """
    order = sorted(range(len(texts.utts)), key=lambda i: (-words.errors[i], texts.utts[i]))
    with atomic_write(path) as stream:
        for i in order:
            errors, length = int(words.errors[i]), int(words.reference[i])
            gone = ", no hypothesis" if texts.missing[i] else ""
            stream.write(f"{texts.utts[i]}: {errors} errors in {length} words{gone}\n")
            lines = alignment_lines(texts.references[i], texts.hypotheses[i])
            for name, line in zip(("ref", "hyp", ""), lines, strict=True):
                stream.write(f"  {name:<4}{line}".rstrip() + "\n")
            stream.write("\n")


def summary(score: dict[str, Any]) -> str:
    """One line for the terminal."""

    def show(name: str) -> str:
        figure = score[name]
        value, low, high = (100 * figure[key] for key in ("estimate", "low", "high"))
        counts = " ".join(
            f"{figure[long]} {short}"
            for long, short in (("substitutions", "S"), ("deletions", "D"), ("insertions", "I"))
        )
        return f"{name.upper()} {value:.2f} % [{low:.2f}, {high:.2f}] ({counts})"

    line = f"{score['test_set']}: {show('wer')}; {show('cer')}; {score['utterances']} utterances"
    if score["missing"]:
        line += f", {len(score['missing'])} without a hypothesis"
    if score["achieved_rate"] is not None:
        line += f"; {score['achieved_rate']:.1f} Hz"
    return line
