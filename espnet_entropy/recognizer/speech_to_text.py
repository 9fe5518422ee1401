"""Waveform, or scored units, to text with a recognizer directory.

Legend: B batch, N units, T samples, M groups.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch.nn.utils.rnn import pad_sequence

from espnet_entropy.entropy_lm.storage import load_weights
from espnet_entropy.recognizer.build import build_model, read_tokens
from espnet_entropy.recognizer.config import DecodingConfig
from espnet_entropy.recognizer.model_dir import CONFIG, WEIGHTS, RecognizerDirectory
from espnet_entropy.recognizer.text import Joiner, text_joiner
from espnet_entropy.segmenter.scored import check_scored
from espnet_entropy.utils.device import check_device
from espnet_entropy.utils.grid import FRAME_LENGTH, SAMPLE_RATE, UNIT_RATE

# Of one batch: units, padding included (6 minutes of speech), and utterances. Larger ones were not
# faster on a CPU; on a GPU the decoder's steps are what takes time, whatever they hold.
BATCH_UNITS = 20_000
BATCH_UTTERANCES = 32


@dataclass(frozen=True)
class Transcript:
    """What was recognized in one utterance.

    Attributes:
        text: the words; may be empty.
        tokens: its text tokens.
        score: log-probability with weights and bonus, nats; the search's own.
        num_groups: M, vectors that the decoder attended to.
        seconds: of audio; for scored units their number / 50.
        truncated: whether ``max_length`` cut the text.
    """

    text: str
    tokens: list[str]
    score: float
    num_groups: int
    seconds: float
    truncated: bool

    @property
    def rate(self) -> float:
        """Groups per second of audio."""
        return self.num_groups / self.seconds


class SpeechToText:
    """A loaded recognizer.

    Args:
        model: ``ESPnetASRModel`` with weights.
        tokens: vocabulary.
        joiner: tokens to text.
        decoding: how to decode.
        device: where the model shall run.

    Example:
        ``SpeechToText.from_pretrained("exp/asr_cale/recognizer")(wav).text``
    """

    def __init__(
        self,
        model: Any,
        tokens: list[str],
        joiner: Joiner,
        decoding: DecodingConfig,
        device: str = "cpu",
    ) -> None:
        self.device = check_device(device)
        self.model = model.to(self.device)
        self.tokens, self.joiner = tokens, joiner
        self.decoding = decoding.for_model(
            model.ctc is not None, model.decoder is not None, len(tokens)
        )

    @classmethod
    def from_pretrained(
        cls,
        directory: str | Path,
        device: str = "cpu",
        decoding: DecodingConfig | None = None,
        **options: Any,
    ) -> SpeechToText:
        """Load a recognizer directory.

        Args:
            directory: ``exp/asr_*/recognizer`` of a recipe, or a copy of it.
            device: ``cpu``, ``cuda``, ``cuda:1`` …
            decoding: how to decode; the directory's own if ``None``.
            options: fields of :class:`DecodingConfig` (``beam_size=1``) that replace these.

        Raises:
            ValueError: for a directory that is not whole, damaged files, an unknown option.
        """
        check_device(device)
        found = RecognizerDirectory.open(directory)
        decoding = (decoding or found.manifest.decoding).replace(**options)
        found.check_files()
        config = found.training_config()
        tokens = read_tokens(config["token_list"])
        model = build_model(config, tokens, str(found.path / CONFIG))
        path = found.path / WEIGHTS
        try:
            weights = safetensors.torch.load_file(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(
                f"{path}: damaged safetensors file: {error}; copy it again."
            ) from error
        load_weights(model, weights, str(path), "recognizer")
        joiner = text_joiner(config, str(found.path / CONFIG))
        return cls(model, tokens, joiner, decoding, device)

    def load_compressor(self) -> None:
        """Load what makes units of waveforms now; otherwise the first waveform does.

        Raises:
            ValueError: if the directory's ``compressor`` is damaged or another.
        """
        self(0.1 * np.sin(np.arange(FRAME_LENGTH)))

    def __call__(self, wav: np.ndarray) -> Transcript:
        """Recognize one utterance.

        Args:
            wav: (T,) float samples in [-1, 1], 16 kHz mono, at least 400 of them.

        Raises:
            ValueError: if the waveform is too short, not one-dimensional or not finite.
        """
        if np.ndim(wav) != 1 or len(wav) < FRAME_LENGTH:
            raise ValueError(
                f"expected a waveform (T,) of at least {FRAME_LENGTH} samples (25 ms at 16 kHz), "
                f"got shape {np.shape(wav)}; give one utterance, mono."
            )
        speech = torch.from_numpy(np.asarray(wav, dtype=np.float32))[None].to(self.device)
        return self._recognize(speech, torch.tensor([len(wav)]), [len(wav) / SAMPLE_RATE])[0]

    def decode_scored(self, scored: np.ndarray) -> Transcript:
        """Recognize one utterance of a scored dump: the text that its waveform has.

        Args:
            scored: (N, 2) float32, unit and entropy in nats.

        Raises:
            ValueError: for another shape, or units that the recognizer does not know.
        """
        return self.decode_batch([scored])[0]

    def decode_batch(self, scored: Sequence[np.ndarray]) -> list[Transcript]:
        """Recognize utterances of a scored dump, similar lengths together.

        Args:
            scored: (N, 2) float32 each.

        Returns:
            As many transcripts, in the order given.

        Raises:
            ValueError: as :meth:`decode_scored`.
        """
        for index, matrix in enumerate(scored):
            self.check(matrix, f"utterance {index}")
        found: dict[int, Transcript] = {}
        for rows in plan_batches([len(matrix) for matrix in scored]):
            lengths = torch.tensor([len(scored[row]) for row in rows])
            speech = pad_sequence(
                [torch.from_numpy(np.asarray(scored[row], dtype=np.float32)) for row in rows],
                batch_first=True,
            )
            seconds = [float(length) / UNIT_RATE for length in lengths]
            done = self._recognize(speech.to(self.device), lengths, seconds)
            found.update(zip(rows, done, strict=True))
        return [found[index] for index in range(len(scored))]

    def check(self, scored: np.ndarray, where: str) -> np.ndarray:
        """Return ``scored`` if it is (N, 2) with units that the recognizer knows.

        Raises:
            ValueError: beginning with ``where``.
        """
        check_scored(scored, where)
        known = self.model.frontend.config.num_clusters
        highest = int(scored[:, 0].max())
        if highest >= known:
            raise ValueError(
                f"{where}: unit {highest}, but the recognizer knows 0 .. {known - 1}; score the "
                "set with the model directory that it was trained for (compressor/ inside it)."
            )
        return scored

    @torch.no_grad()
    def _recognize(
        self, speech: torch.Tensor, lengths: torch.Tensor, seconds: list[float]
    ) -> list[Transcript]:
        """Scored units (B, N, 2) or waveforms (B, T) to transcripts."""
        from espnet_entropy.recognizer.search import search

        lengths = lengths.to(self.device)
        # what ESPnetASRModel.encode does, with the frontend's groups at hand
        feats, feat_lengths = self.model.frontend(speech, lengths)
        memory, memory_lengths = self._encode(feats, feat_lengths)
        transcripts = []
        found = search(self.model, memory, memory_lengths, self.decoding)
        groups = memory_lengths.tolist()  # a context over the groups keeps their number
        for best, count, duration in zip(found, groups, seconds, strict=True):
            tokens = [self.tokens[i] for i in best.tokens if i != self.model.blank_id]
            text = " ".join(self.joiner(tokens).split())
            transcripts.append(
                Transcript(text, tokens, best.score, int(count), duration, best.truncated)
            )
        return transcripts

    def _encode(
        self, feats: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors (B, M, D) and numbers of groups (B,); the same whatever is in the batch."""
        encoder = self.model.encoder
        if sees_padding(encoder) and len(feats) > 1:
            alone = [
                self._encode(x[None, :n], n[None]) for x, n in zip(feats, lengths, strict=True)
            ]
            vectors = [memory[0] for memory, _ in alone]
            padded = torch.nn.utils.rnn.pad_sequence(vectors, batch_first=True)
            return padded, torch.cat([count for _, count in alone])
        memory, counts, _ = encoder(feats, lengths)
        if isinstance(memory, tuple):  # the outputs of intermediate layers come along
            memory = memory[0]
        return memory, counts


def sees_padding(encoder: Any) -> bool:
    """Whether an encoder's context convolves over the groups: ESPnet's reads padding as well."""
    layers = getattr(encoder.context, "encoders", ())
    return any(getattr(layer, "conv_module", None) is not None for layer in layers)


def plan_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices of the utterances of each batch, from the longest to the shortest."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        full = (len(batch) + 1) * lengths[batch[0]] > BATCH_UNITS if batch else False
        if full or len(batch) == BATCH_UTTERANCES:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
