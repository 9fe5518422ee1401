"""Dedup + BPE over units: what discrete-unit recipes of the field do instead of entropy groups.

Repetitions of a unit are dropped, and sentencepiece merges the pairs that are most frequent in
the training set. Units are characters inside sentencepiece only, integers everywhere else.
Legend: N units at 50 Hz, R runs of one unit, M pieces.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import itertools
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_entropy.entropy_lm.units import check_units, run_starts
from espnet_entropy.utils.ark import Arrays
from espnet_entropy.utils.config import load_config, read_yaml, write_yaml
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.grid import SAMPLE_RATE
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import read_num_samples

FORMAT = 1
FIRST_CHARACTER = 0xF0000  # Unicode's first supplementary private area
MAX_UNITS = 65_000  # characters there, about
# sentencepiece's BPE trainer keeps positions in a sentence in 16 bits
LONGEST_SENTENCE = 16_000


@dataclass(frozen=True)
class UnitBPECard:
    """``<model>.yaml`` beside the model: what it was trained on.

    Attributes:
        tokenizer: fingerprint of the units.
        num_clusters: codebook size K.
        size: pieces, one that never occurs (0) included.
        fingerprint: of the model file.
        rate: pieces per second of audio in the training set, Hz.
        trained_on: name of the set.
        format: version of the files.
    """

    tokenizer: str
    num_clusters: int
    size: int
    fingerprint: str
    rate: float
    trained_on: str
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(
                f"format: this version reads {FORMAT}, got {self.format}; train it anew."
            )


class UnitBPE:
    """Units to pieces: runs of units that often follow each other.

    Args:
        model: a serialized sentencepiece model over units.
        card: what it was trained on.

    Example:
        ``ids, starts = UnitBPE.from_pretrained("exp/unit_bpe_400/unit_bpe.model").encode(units)``
    """

    def __init__(self, model: bytes, card: UnitBPECard) -> None:
        import sentencepiece

        self.card = card
        self._model = model
        self._processor = sentencepiece.SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model)
        pieces = [self._processor.IdToPiece(i) for i in range(self._processor.GetPieceSize())]
        self._runs = np.array([len(piece) for piece in pieces])  # runs in each piece

    @property
    def size(self) -> int:
        """Number of pieces: the size of the embedding that they need."""
        return self.card.size

    def encode(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pieces of an utterance.

        Args:
            units: (N,) int, N at least 1.

        Returns:
            The pieces (M,) int64, and (N,) bool: True at the units where a piece starts.

        Raises:
            ValueError: if a unit is none of the K that the model knows, or there is none.
        """
        units = check_units(units, self.card.num_clusters)
        first = np.flatnonzero(run_starts(units))  # (R,)
        ids = np.array(self._processor.EncodeAsIds(_characters(units[first])), dtype=np.int64)
        runs = self._runs[ids]
        assert runs.sum() == len(first), (runs.sum(), len(first))
        starts = np.zeros(len(units), dtype=bool)
        starts[first[np.cumsum(runs) - runs]] = True
        return ids, starts

    @classmethod
    def train(cls, scored: str | Path, vocab_size: int, out: str | Path) -> UnitBPE:
        """Train on a scored dump and write ``out/unit_bpe.{model,yaml}``.

        Args:
            scored: ``dump/scored/<set>``.
            vocab_size: pieces; more than K. A small set may give fewer (logged).
            out: directory.

        Raises:
            ValueError: for an unreadable dump or a vocabulary that leaves no room for merges.
        """
        scored, out = Path(scored), Path(out)
        if not (scored / "scored.scp").is_file():
            raise ValueError(
                f"{scored}/scored.scp: no such file; expected a scored dump. Run stage "
                "'score_entropy'."
            )
        meta = read_yaml(scored / "meta.yaml")
        if not (
            isinstance(meta.get("num_clusters"), int) and isinstance(meta.get("tokenizer"), str)
        ):
            raise ValueError(f"{scored}/meta.yaml: lacks tokenizer or num_clusters; score it anew.")
        K = meta["num_clusters"]
        if not vocab_size > K + 1:
            raise ValueError(
                f"vocab_size: expected more than K + 1 = {K + 1} (every unit is a piece, and one "
                f"stands for the unknown), got {vocab_size}."
            )
        samples = read_num_samples(scored)
        arrays = Arrays.load(scored / "scored.scp")
        model = _train(_sentences(arrays), K, vocab_size)
        card = UnitBPECard(
            tokenizer=meta["tokenizer"],
            num_clusters=K,
            size=_size(model),
            fingerprint=_fingerprint(model),
            rate=0.0,
            trained_on=scored.name,
        )
        if card.size < vocab_size:
            logging.warning(
                "unit BPE: %d pieces instead of %d: the set has no more pairs to merge",
                card.size,
                vocab_size,
            )
        seconds = sum(samples[utt] for utt in arrays) / SAMPLE_RATE
        draft = cls(model, card)
        pieces = sum(len(draft.encode(units)[0]) for units in _units(arrays, "count pieces"))
        trained = cls(model, dataclasses.replace(card, rate=pieces / seconds))
        trained.save(out)
        return trained

    def save(self, directory: str | Path) -> None:
        """Write ``unit_bpe.model``, then ``unit_bpe.yaml``."""
        directory = Path(directory)
        with atomic_write(directory / "unit_bpe.model", "wb") as stream:
            stream.write(self._model)
        write_yaml(directory / "unit_bpe.yaml", self.card)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> UnitBPE:
        """Load ``unit_bpe.model`` and the ``unit_bpe.yaml`` beside it.

        Args:
            path: the model file, or the directory that holds it.

        Raises:
            ValueError: if one of them is missing, or they do not belong together.
        """
        path = Path(path)
        path = path / "unit_bpe.model" if path.is_dir() else path
        if not path.is_file():
            raise ValueError(
                f"{path}: no such unit BPE; python -m espnet_entropy.bin.train_unit_bpe makes one."
            )
        card = load_config(UnitBPECard, path.with_suffix(".yaml"))
        model = path.read_bytes()
        if _fingerprint(model) != card.fingerprint:
            raise ValueError(
                f"{path}: fingerprint {_fingerprint(model)}, but {path.with_suffix('.yaml')} names "
                f"{card.fingerprint}; the files are damaged or of different models. Train it anew."
            )
        return cls(model, card)


def _characters(units: np.ndarray) -> str:
    """Units (R,) as a string of R characters."""
    return "".join(map(chr, (units + FIRST_CHARACTER).tolist()))


def _units(arrays: Arrays, what: str) -> Iterator[np.ndarray]:
    """Units (N,) int64 of each utterance, one at a time."""
    for utt in progress(list(arrays), what):
        yield arrays[utt][:, 0].astype(np.int64)


def _sentences(arrays: Arrays) -> Iterator[str]:
    """Utterances without repetitions, cut where sentencepiece's trainer needs it."""
    for units in _units(arrays, "train unit BPE"):
        text = _characters(units[run_starts(units)])
        for begin in range(0, len(text), LONGEST_SENTENCE):
            yield text[begin : begin + LONGEST_SENTENCE]


def _train(sentences: Iterable[str], num_clusters: int, vocab_size: int) -> bytes:
    """A serialized sentencepiece model."""
    import sentencepiece

    if num_clusters > MAX_UNITS:
        raise ValueError(f"num_clusters: unit BPE knows at most {MAX_UNITS}, got {num_clusters}.")
    model = io.BytesIO()
    # every unit is a piece, in the training set or not, so that nothing is ever unknown: a
    # sentence of one character makes no pair (required_chars leaves out what does not occur)
    alone = (_characters(np.array([unit])) for unit in range(num_clusters))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=itertools.chain(alone, sentences),
        model_writer=model,
        model_type="bpe",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        character_coverage=1.0,
        # characters are not text: no normalization, no spaces, no scripts
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_unicode_script=False,
        split_by_whitespace=False,
        split_by_number=False,
        max_sentence_length=4 * LONGEST_SENTENCE,  # bytes; longer ones would be dropped
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        unk_id=0,
        num_threads=1,
        minloglevel=1,
    )
    return model.getvalue()


def _size(model: bytes) -> int:
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    return int(processor.GetPieceSize())


def _fingerprint(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()[:16]
