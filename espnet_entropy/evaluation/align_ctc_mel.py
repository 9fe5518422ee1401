"""Alignment of phones by our own small encoder and its CTC head (egs2/mini_hubert/ssl1).

Shapes: N frames of the grid of ``utils.grid``, C classes of the head, T samples.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.evaluation.align_ctc import force_align, phone_intervals
from espnet_entropy.evaluation.phone_frames import spoken_phones
from espnet_entropy.tokenizer.mel_ctc_head import BLANK_ID, CTCHead
from espnet_entropy.tokenizer.mel_features import MelEncoderFeatures, MelEncoderOptions
from espnet_entropy.tokenizer.mel_model_dir import DESCRIPTION
from espnet_entropy.tokenizer.tokenizer import check_wav
from espnet_entropy.utils.device import check_device


def is_ours(name: str) -> bool:
    """Whether a model is a directory of ours; transformers describes its own in config.json."""
    path = Path(name)
    return (path / DESCRIPTION).is_file() and not (path / "config.json").is_file()


class MelCTCAligner:
    """A mel encoder with its CTC head; phones come out without stress, as they were learned.

    Args:
        name: directory of the model.
        kind: ``phone``; the head knows nothing else.
        device: torch device.

    Raises:
        ValueError: if the model or its head cannot be read, or for another kind.
    """

    def __init__(self, name: str, kind: str = "phone", device: str = "cpu") -> None:
        if kind != "phone":
            raise ValueError(
                f"{name}: its CTC head writes phones, not '{kind}'; expected '--tokens phone' with "
                "'--text text.phones'."
            )
        self.name, self.kind, self.blank = name, kind, BLANK_ID
        options = MelEncoderOptions(str(Path(name).absolute()))  # no shipped model of that name
        self.features = MelEncoderFeatures(options, str(check_device(device)))
        self.head = CTCHead.load(name)
        self.vocab = {label: i for i, label in enumerate(self.head.labels)}

    def tokens(self, text: str) -> list[int]:
        """Class of each phone; word ends and silence are none.

        Raises:
            ValueError: naming phones that the head lacks.
        """
        phones = spoken_phones(text)
        unknown = sorted({p for p in phones if self.vocab.get(p, self.blank) == self.blank})
        if unknown:
            raise ValueError(
                f"the transcript has {', '.join(map(repr, unknown))}, which the phones of "
                f"{self.name} lack; expected phones as in its training set's text.phones."
            )
        return [self.vocab[phone] for phone in phones]

    def emission(self, wav: np.ndarray) -> np.ndarray:
        """(N, C) float32 log-probabilities of a waveform (T,) at 16 kHz.

        Raises:
            ValueError: if it has no frame, or samples that are not finite.
        """
        return self.head.log_probs(self.features.extract(check_wav(wav)))

    def __call__(self, wav: np.ndarray, text: str) -> dict[str, list[Interval]]:
        """Align one utterance: ``{"phones"}`` to intervals in seconds.

        Raises:
            ValueError: for a transcript without phones or with unknown ones, or audio too short.
        """
        tokens = self.tokens(text)
        if not tokens:
            raise ValueError("no phones in the transcript; forced alignment needs them.")
        spans = force_align(self.emission(wav), tokens, self.blank)
        return {"phones": phone_intervals([self.head.labels[token] for token in tokens], spans)}
