"""Alignment by a CTC model: forced alignment of letters or phones on the 50 Hz grid.

For corpora without a reference where MFA is not installed. CTC models peak where they are sure,
which is not where a sound begins: read such a reference at ±50 ms, not at ±20 ms.

Shapes: N frames of the grid of ``utils.grid``, V tokens of the model's vocabulary.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.utils.device import check_device
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import sha256_file
from espnet_entropy.utils.grid import FRAME_LENGTH, boundary_time
from espnet_entropy.utils.progress import progress

WORD_DELIMITER = "|"
PAUSE = 0.2  # seconds between words that are silence; less is shared by the two words
KINDS = ("char", "phone")
Aligner = Callable[[np.ndarray, str], dict[str, list[Interval]]]  # (T,) and a transcript to tiers


def force_align(log_probs: np.ndarray, tokens: Sequence[int], blank: int) -> list[tuple[int, int]]:
    """First frame and end (exclusive) of each token on the best CTC path.

    Args:
        log_probs: (N, V) float32, natural log.
        tokens: L token ids, none of them blank.
        blank: id of the blank.

    Returns:
        L pairs of frames.

    Raises:
        ValueError: if N frames are too few for the tokens.
    """
    import torch
    from torchaudio.functional import forced_align

    repeats = sum(a == b for a, b in itertools.pairwise(tokens))
    if len(log_probs) < len(tokens) + repeats:
        raise ValueError(
            f"too short: {len(log_probs)} frames of 20 ms for {len(tokens)} tokens, {repeats} of "
            f"them repeated; expected at least {len(tokens) + repeats} frames."
        )
    targets = torch.tensor([list(tokens)], dtype=torch.int32)
    path, _ = forced_align(torch.from_numpy(log_probs)[None], targets, blank=blank)
    runs = [(label, len(list(run))) for label, run in itertools.groupby(path[0].tolist())]
    ends = np.cumsum([length for _, length in runs]).tolist()
    spans = [
        (end - length, end)
        for (label, length), end in zip(runs, ends, strict=True)
        if label != blank
    ]
    assert len(spans) == len(tokens), (len(spans), len(tokens))
    return spans


def letters_and_words(
    text: str, spans: Sequence[tuple[int, int]], delimited: bool
) -> tuple[list[Interval], list[Interval]]:
    """Intervals of letters and of words from the spans of an aligned text.

    Inside a word a letter lasts until the next one; a gap of less than ``PAUSE`` between words
    is halved, a longer one is silence.

    Args:
        text: words separated by single spaces.
        spans: of every letter in order, and of each space too if ``delimited``.
        delimited: whether the model has a token between words.
    """
    positions = iter(spans)
    words: list[list[tuple[int, int]]] = []
    for index, word in enumerate(text.split(" ")):
        if index and delimited:
            next(positions)
        words.append([next(positions) for _ in word])
    edges = [(_seconds(word[0][0]), _seconds(word[-1][1])) for word in words]
    for i in range(len(edges) - 1):
        gap = edges[i + 1][0] - edges[i][1]
        if gap < PAUSE:
            middle = edges[i][1] + gap / 2
            edges[i], edges[i + 1] = (edges[i][0], middle), (middle, edges[i + 1][1])
    letters: list[Interval] = []
    for label, inside, (start, end) in zip(text.split(" "), words, edges, strict=True):
        inner = [start, *(_seconds(span[0]) for span in inside[1:]), end]
        letters += [Interval(*i) for i in zip(inner[:-1], inner[1:], label, strict=True)]
    found = [Interval(*edge, word) for edge, word in zip(edges, text.split(" "), strict=True)]
    return letters, found


def phone_intervals(phones: Sequence[str], spans: Sequence[tuple[int, int]]) -> list[Interval]:
    """Intervals of phones: each lasts until the next one, unless ``PAUSE`` or more is between."""
    found = []
    for i, (phone, (start, end)) in enumerate(zip(phones, spans, strict=True)):
        following = _seconds(spans[i + 1][0]) if i + 1 < len(spans) else _seconds(end)
        stop = following if following - _seconds(end) < PAUSE else _seconds(end)
        found.append(Interval(_seconds(start), stop, phone))
    return found


def _seconds(frame: int) -> float:
    """Time of the boundary before ``frame``; 0 for the first, whose window begins there."""
    return round(float(boundary_time(frame)), 4) if frame else 0.0


class CTCAligner:
    """A transformers CTC model (wav2vec 2.0, HuBERT, WavLM) with its vocabulary.

    Args:
        name: local directory or hub name; ``vocab.json`` is read from there.
        kind: ``char`` (transcript of words) or ``phone`` (phones separated by spaces).
        device: torch device.

    Raises:
        ValueError: if model or vocabulary cannot be read.
    """

    def __init__(self, name: str, kind: str = "char", device: str = "cpu") -> None:
        import torch
        from transformers import AutoFeatureExtractor, AutoModelForCTC

        assert kind in KINDS, kind
        place = check_device(device)
        self.name, self.kind, self.device = name, kind, device
        try:
            self.model: Any = AutoModelForCTC.from_pretrained(name).to(place).eval()
            self.extractor: Any = AutoFeatureExtractor.from_pretrained(name)  # type: ignore[no-untyped-call]
            path = _file(name, "vocab.json")
            self.vocab: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
        except Exception as error:  # torch, safetensors and pickle each raise their own
            raise ValueError(
                f"{name}: expected a transformers CTC model with preprocessor_config.json and "
                "vocab.json (local directory or hub name), or a mel encoder with a CTC head: "
                f"{error}"
            ) from error
        self.blank = int(self.model.config.pad_token_id)
        self.fingerprint = sha256_file(path)[:16]
        self.no_grad = torch.no_grad

    def tokens(self, text: str) -> list[int]:
        """Token ids of a transcript; letters in the case that the vocabulary has.

        Raises:
            ValueError: naming what the vocabulary lacks.
        """
        if self.kind == "phone":
            pieces = text.split()
        else:
            pieces = [WORD_DELIMITER if c == " " else c for c in text]
            if WORD_DELIMITER not in self.vocab:
                pieces = [piece for piece in pieces if piece != WORD_DELIMITER]
        cased = [[p, p.upper(), p.lower()] if self.kind == "char" else [p] for p in pieces]
        ids = [next((self.vocab[c] for c in forms if c in self.vocab), -1) for forms in cased]
        unknown = sorted({p for p, i in zip(pieces, ids, strict=True) if i in (-1, self.blank)})
        if unknown:
            raise ValueError(
                f"the transcript has {', '.join(map(repr, unknown))}, which the vocabulary of "
                f"{self.name} lacks; clean the text or choose a model that knows it."
            )
        return ids

    def emission(self, wav: np.ndarray) -> np.ndarray:
        """(N, V) float32 log-probabilities of a waveform (T,) at 16 kHz."""
        if len(wav) < FRAME_LENGTH:
            raise ValueError(f"too short: {len(wav)} samples; expected at least {FRAME_LENGTH}.")
        inputs = self.extractor(wav, sampling_rate=16_000, return_tensors="pt")
        with self.no_grad():
            logits = self.model(inputs["input_values"].to(self.device)).logits[0]
        result: np.ndarray = logits.float().log_softmax(dim=-1).cpu().numpy()
        return result

    def __call__(self, wav: np.ndarray, text: str) -> dict[str, list[Interval]]:
        """Align one utterance: ``{"words", "chars"}`` or ``{"phones"}`` to intervals in seconds.

        Raises:
            ValueError: for an empty or unknown transcript, or audio too short for it.
        """
        text = " ".join(text.split())
        if not text:
            raise ValueError("no transcript; forced alignment needs one.")
        spans = force_align(self.emission(wav), self.tokens(text), self.blank)
        if self.kind == "phone":
            return {"phones": phone_intervals(text.split(), spans)}
        chars, words = letters_and_words(text, spans, WORD_DELIMITER in self.vocab)
        return {"words": words, "chars": chars}


def align_with_ctc(
    data: DataDir, transcripts: Mapping[str, str], failures: FailureLog, aligner: Aligner
) -> dict[str, dict[str, list[Interval]]]:
    """Align every utterance of a data directory; what cannot be aligned goes to ``failures``."""
    tiers: dict[str, dict[str, list[Interval]]] = {}
    for utt in progress(data.wavs, "CTC alignment"):
        try:
            found = aligner(data.load_audio(utt), transcripts.get(utt, ""))
        except ValueError as error:
            failures.add(utt, error)
            continue
        for tier, intervals in found.items():
            tiers.setdefault(tier, {})[utt] = intervals
    return tiers


def _file(name: str, file: str) -> Path:
    """A file of a local model directory or of a hub repository."""
    if Path(name).is_dir():
        return Path(name) / file
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(name, file))
