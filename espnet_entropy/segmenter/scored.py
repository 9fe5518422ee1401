"""A scored dump: ``dump/scored/<set>/{scored.scp,utt2num_samples,meta.yaml}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_entropy.segmenter.flat import Flat
from espnet_entropy.utils.ark import Arrays
from espnet_entropy.utils.config import read_yaml
from espnet_entropy.utils.grid import SAMPLE_RATE
from espnet_entropy.utils.scp import read_num_samples


@dataclass(frozen=True)
class ScoredSet:
    """Units and entropies of a set, and how much audio they come from.

    Attributes:
        name: for messages and tables.
        utterances: utterance id to (N, 2) float32: unit, entropy in nats.
        seconds: of audio, all utterances together.
        tokenizer: fingerprint.
        entropy_lm: fingerprint.
        num_clusters: codebook size K.
    """

    name: str
    utterances: dict[str, np.ndarray]
    seconds: float
    tokenizer: str
    entropy_lm: str
    num_clusters: int


def read_scored(directory: str | Path) -> ScoredSet:
    """Read a scored dump.

    Raises:
        ValueError: naming the file and the utterance, if something is missing or malformed.
    """
    directory = Path(directory)
    scp = directory / "scored.scp"
    if not scp.is_file():
        raise ValueError(f"{scp}: no such file; expected a scored dump. Run stage 'score_entropy'.")
    samples = read_num_samples(directory)
    utterances: dict[str, np.ndarray] = {}
    seconds = 0.0
    for utt, matrix in Arrays.load(scp).items():
        if utt not in samples:
            raise ValueError(f"{directory}/utt2num_samples: lacks utterance '{utt}' of scored.scp.")
        utterances[utt] = check_scored(matrix, f"{scp}: {utt}")
        seconds += samples[utt] / SAMPLE_RATE
    if not utterances:
        raise ValueError(f"{scp}: no utterances; expected at least one.")
    meta = read_yaml(directory / "meta.yaml")
    lacking = [k for k in ("tokenizer", "entropy_lm", "num_clusters") if k not in meta]
    if lacking:
        raise ValueError(f"{directory}/meta.yaml: lacks {', '.join(lacking)}; score the set anew.")
    return ScoredSet(
        name=directory.name,
        utterances=utterances,
        seconds=seconds,
        tokenizer=str(meta["tokenizer"]),
        entropy_lm=str(meta["entropy_lm"]),
        num_clusters=int(meta["num_clusters"]),
    )


def check_scored(matrix: np.ndarray, where: str) -> np.ndarray:
    """Return ``matrix`` if it is (N, 2) with N above 0 and finite, non-negative entropies.

    Raises:
        ValueError: beginning with ``where``.
    """
    if matrix.ndim != 2 or matrix.shape[1] != 2 or not len(matrix):
        raise ValueError(
            f"{where}: expected a matrix (N, 2) of unit and entropy, got shape {matrix.shape}."
        )
    # rounding may leave an entropy of a sure prediction just below zero
    if not (np.isfinite(matrix).all() and (matrix > -1e-3).all()):
        raise ValueError(f"{where}: expected finite units and entropies of at least 0.")
    return matrix


def end_to_end(utterances: Sequence[np.ndarray]) -> Flat:
    """Utterances (N, 2) as one vector of units, one of entropies and marks between them."""
    pooled = np.concatenate(utterances)
    first = np.zeros(len(pooled), dtype=bool)
    first[np.cumsum([0, *map(len, utterances[:-1])])] = True
    return Flat(pooled[:, 0].astype(np.int64), np.ascontiguousarray(pooled[:, 1]), first)
