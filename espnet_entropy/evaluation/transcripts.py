"""A reference and what was recognized, utterance by utterance, nothing dropped in silence."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_entropy.evaluation.wer import words_of
from espnet_entropy.utils.scp import read_scp

_NAMED = 3  # utterances in a message; files have them all


@dataclass(frozen=True)
class Transcripts:
    """Texts of U utterances, sorted by id.

    Attributes:
        utts: U ids.
        references: U texts, single spaces between words.
        hypotheses: U texts; ``""`` where nothing came.
        missing: (U,) bool, true where there is no hypothesis at all.
        speakers: U names, or ``None``.
        in_train: (U,) bool, true where the sentence also occurs in the training text; or ``None``.
    """

    utts: list[str]
    references: list[str]
    hypotheses: list[str]
    missing: np.ndarray
    speakers: list[str] | None = None
    in_train: np.ndarray | None = None

    @property
    def missing_utts(self) -> list[str]:
        """Ids without a hypothesis."""
        return [utt for utt, gone in zip(self.utts, self.missing, strict=True) if gone]


def read_transcripts(
    reference: str | Path,
    hypothesis: str | Path,
    utt2spk: str | Path | None = None,
    train_text: str | Path | None = None,
    upper_case: bool = False,
) -> Transcripts:
    """Read and match Kaldi ``text`` files.

    An utterance without a hypothesis counts as an empty one: all its words are deletions.

    Args:
        reference: ``<utt> <text>`` lines; the text may be empty.
        hypothesis: likewise.
        utt2spk: ``<utt> <speaker>`` lines, at least for the reference's utterances.
        train_text: what the model was trained on.
        upper_case: turn all texts to upper case first.

    Raises:
        ValueError: if there is no reference, a hypothesis belongs to no reference, none at all
            was recognized, or an utterance has no speaker.
    """
    references = _read(reference, upper_case)
    hypotheses = _read(hypothesis, upper_case)
    if not references:
        raise ValueError(f"{reference}: no utterances; expected '<utt> <text>' lines.")
    extra = sorted(set(hypotheses) - set(references))
    if extra:
        raise ValueError(
            f"{hypothesis}: {len(extra)} of {len(hypotheses)} utterances are not in {reference}: "
            f"{_some(extra)}; expected hypotheses of this very set. Check both paths."
        )
    if not hypotheses:
        raise ValueError(f"{hypothesis}: no utterances; nothing was recognized. Decode again.")
    utts = sorted(references)
    missing = np.array([utt not in hypotheses for utt in utts])
    if missing.any():
        gone = [utt for utt in utts if utt not in hypotheses]
        logging.warning(
            "%s: %d of %d utterances have no hypothesis and count as deleted: %s",
            *(hypothesis, len(gone), len(utts), _some(gone)),
        )
    trained = None if train_text is None else set(_read(train_text, upper_case).values())
    return Transcripts(
        utts=utts,
        references=[references[utt] for utt in utts],
        hypotheses=[hypotheses.get(utt, "") for utt in utts],
        missing=missing,
        speakers=None if utt2spk is None else _speakers(utt2spk, utts),
        in_train=None if trained is None else _among(references, utts, trained),
    )


def _read(path: str | Path, upper_case: bool) -> dict[str, str]:
    texts = read_scp(path, allow_empty=True)
    return {utt: words_of(t.upper() if upper_case else t) for utt, t in texts.items()}


def _speakers(path: str | Path, utts: Sequence[str]) -> list[str]:
    table = read_scp(path)
    lacking = [utt for utt in utts if utt not in table]
    if lacking:
        raise ValueError(
            f"{path}: lacks {len(lacking)} of the reference's {len(utts)} utterances: "
            f"{_some(lacking)}; give the utt2spk of this set."
        )
    return [table[utt] for utt in utts]


def _among(
    references: Mapping[str, str], utts: Sequence[str], trained: Collection[str]
) -> np.ndarray:
    return np.array([references[utt] in trained for utt in utts], dtype=bool)


def _some(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
