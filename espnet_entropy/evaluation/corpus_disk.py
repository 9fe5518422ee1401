"""Bytes and files that the stages of a corpus write, in closed form.

The tests hold each form against what the stages really write.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from espnet_entropy.corpora.format_audio import SHARD_UTTERANCES
from espnet_entropy.evaluation.training_estimate import Corpus
from espnet_entropy.tokenizer.corpus import SHARD_SAMPLES
from espnet_entropy.utils.grid import SAMPLE_RATE, UNIT_RATE
from espnet_entropy.utils.shards import MOST_SHARDS

SHARD_UNITS = 50_000  # bin/score_entropy's
DIGITS = 6  # of a number of samples or an offset, about: 240 000 samples are 15 s
UNIT_BYTES = 5  # Kaldi's vector of int32 puts the size before each one
SCORED_BYTES = 8  # unit and entropy as float32
VECTOR_HEADER, MATRIX_HEADER = 7, 15
# AdamW's checkpoint is weights and two moments; a stored model is its weights, in float32
CHECKPOINT_BYTES, MODEL_BYTES = 12, 4


@dataclass(frozen=True)
class Disk:
    """What lies on disk."""

    bytes: float = 0.0
    files: int = 0

    def __add__(self, other: Disk) -> Disk:
        return Disk(self.bytes + other.bytes, self.files + other.files)


@dataclass(frozen=True)
class Names:
    """Characters in the tables of a corpus; the defaults are those of MLS English.

    Attributes:
        utt: of an utterance id (``4800_10003_000000``).
        speaker: of a speaker id.
        wav: of a path (``/data/mls/mls_english/train/audio/4800/10003/4800_10003_000000.flac``).
        text_per_second: of a text, by the audio.
    """

    utt: int = 17
    speaker: int = 4
    wav: int = 68
    text_per_second: float = 14.0


def count_utterances(corpus: Corpus) -> int:
    """Utterances of so many hours."""
    return round(corpus.hours * 3600 / corpus.seconds)


def count_shards(corpus: Corpus, shard_seconds: float) -> int:
    """Shards of whole utterances that are closed when they have reached so many seconds."""
    utterances = count_utterances(corpus)
    if utterances > MOST_SHARDS:
        shard_seconds = max(shard_seconds, utterances * corpus.seconds / MOST_SHARDS)
    return math.ceil(utterances / math.ceil(shard_seconds / corpus.seconds))


def tables(corpus: Corpus, names: Names) -> Disk:
    """``wav.scp``, ``text``, ``utt2spk`` and ``spk2utt`` of a data directory."""
    text = corpus.seconds * names.text_per_second
    line = names.utt + 2  # with its blank and its end
    each = 3 * line + names.wav + text + names.speaker + (names.utt + 1)
    return Disk(count_utterances(corpus) * each, 4)


def formatted(corpus: Corpus, names: Names) -> Disk:
    """``dump/raw``: the tables again, lengths, and the lists of shards; no audio."""
    line = names.utt + 2 + DIGITS
    listed = names.utt + names.wav + DIGITS + 15  # JSON, a value a line
    utterances = count_utterances(corpus)
    shards = count_shards(corpus, SHARD_UTTERANCES * corpus.seconds)
    more = Disk(utterances * (line + listed), shards + 2)  # utt2num_samples, failed.txt
    return tables(corpus, names) + more


def archives(
    corpus: Corpus, names: Names, kind: str, unit_bytes: int, header: int, seconds: float
) -> Disk:
    """Archives in shards of so many seconds and their tables: ``dump/units``, ``dump/scored``."""
    utterances, shards = count_utterances(corpus), count_shards(corpus, seconds)
    payload = corpus.hours * 3600 * UNIT_RATE * unit_bytes
    entry = names.utt + 1 + header
    path = len(f"dump/{kind}/train/shards/{kind}.{shards}.ark:") + DIGITS
    line = names.utt + 2 + path  # in the shard's scp and in the joint one
    lengths = names.utt + 2 + DIGITS
    # ark, scp, failed; the key, joint scp, failed, sha256, utt2num_samples, meta.yaml
    size = payload + utterances * (entry + 2 * line + lengths) + 65 * shards
    return Disk(size, 3 * shards + 6)


def units(corpus: Corpus, names: Names) -> Disk:
    """``dump/units``."""
    seconds = SHARD_SAMPLES / SAMPLE_RATE
    return archives(corpus, names, "units", UNIT_BYTES, VECTOR_HEADER, seconds)


def scored(corpus: Corpus, names: Names) -> Disk:
    """``dump/scored``."""
    seconds = SHARD_UNITS / UNIT_RATE
    return archives(corpus, names, "scored", SCORED_BYTES, MATRIX_HEADER, seconds)


def packed(corpus: Corpus, context: int) -> Disk:
    """``dump/packed``: one archive of lines that are nearly full."""
    entries = corpus.hours * 3600 * UNIT_RATE + count_utterances(corpus)  # a separator each
    lines = math.ceil(entries / (context - 1))
    key = len("line00000000 ")
    table = key + len("dump/packed/train/packed.ark:") + DIGITS + 1  # packed.scp
    shape = key + len(f"{context}\n")
    return Disk(entries * UNIT_BYTES + lines * (key + VECTOR_HEADER + table + shape), 6)


def prepared(corpus: Corpus, names: Names) -> Disk:
    """``dump/asr``: tables that point to the scored archives."""
    shards = count_shards(corpus, SHARD_UNITS / UNIT_RATE)
    path = len(f"../units1/dump/scored/train/shards/scored.{shards}.ark:") + DIGITS
    text = corpus.seconds * names.text_per_second
    units_digits = len(str(round(corpus.seconds * UNIT_RATE)))
    each = 4 * (names.utt + 2) + path + text + DIGITS + units_digits + len(",2")
    return Disk(count_utterances(corpus) * each, 6)


def models(parameters: int, epochs_kept: int, copies: int) -> Disk:
    """An experiment: the last state, the best epochs, and further copies of the weights."""
    weights = MODEL_BYTES * (epochs_kept + copies)
    return Disk(parameters * (CHECKPOINT_BYTES + weights), 1 + epochs_kept + copies)
