"""A scored set beside its reference: everything that boundary figures are made from."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from espnet_entropy.corpora.alignment import AlignmentInfo, read_alignment_info, read_alignments
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation.boundaries import reference_boundaries
from espnet_entropy.evaluation.flux import spectral_flux
from espnet_entropy.segmenter.scored import ScoredSet
from espnet_entropy.utils.grid import SAMPLE_RATE
from espnet_entropy.utils.progress import progress


@dataclass(frozen=True)
class Reference:
    """U utterances that are both scored and aligned, in sorted order.

    Attributes:
        utts: ids.
        speakers: speaker of each.
        units: (N,) int32 each.
        entropy: (N,) float32 each, nats.
        seconds: length of each.
        tiers: ``phones`` and / or ``words``, each with U arrays of boundary times in seconds.
        fluxes: (F,) float64 each, the spectral flux.
        info: where the alignment is from, and its shift (already applied).
        left_out: scored utterances without alignment.
    """

    utts: list[str]
    speakers: list[str]
    units: list[np.ndarray]
    entropy: list[np.ndarray]
    seconds: list[float]
    tiers: dict[str, list[np.ndarray]]
    fluxes: list[np.ndarray]
    info: AlignmentInfo = field(default_factory=AlignmentInfo)
    left_out: list[str] = field(default_factory=list)


def load_reference(scored: ScoredSet, data_dir: str | Path) -> Reference:
    """Join a scored dump and the data directory it was made from.

    Args:
        scored: of ``segmenter.scored.read_scored``.
        data_dir: data directory with ``ctm.phones`` and / or ``ctm.words``.

    Raises:
        ValueError: if files are missing, or no utterance is both scored and aligned.
    """
    data_dir = Path(data_dir)
    matrices = scored.utterances
    data = DataDir.read(data_dir)
    alignments = read_alignments(data_dir, data.wavs)
    if not alignments:
        raise ValueError(
            f"{data_dir}: lacks ctm.phones and ctm.words; give a set with a reference alignment, "
            f"or make one: python -m espnet_entropy.bin.align --data {data_dir}"
        )
    utts = sorted(
        u for u in matrices if u in data.wavs and all(u in tier for tier in alignments.values())
    )
    if not utts:
        raise ValueError(
            f"{scored.name} and {data_dir}: no utterance is both scored and aligned; expected the "
            "dump of this data directory. Score it again."
        )
    left_out = sorted(set(matrices) - set(utts))
    if left_out:
        logging.warning(
            "%s: %d of %d utterances have no reference and are left out: %s%s",
            scored.name,
            len(left_out),
            len(matrices),
            ", ".join(left_out[:5]),
            ", …" if len(left_out) > 5 else "",
        )
    found = Reference(
        utts=utts,
        speakers=[data.utt2spk[utt] for utt in utts],
        units=[],
        entropy=[],
        seconds=[],
        tiers={tier: [] for tier in sorted(alignments)},
        fluxes=[],
        info=read_alignment_info(data_dir),
        left_out=left_out,
    )
    for utt in progress(utts, "read reference"):
        matrix = matrices[utt]
        wav = data.load_audio(utt)
        found.units.append(np.rint(matrix[:, 0]).astype(np.int32))
        found.entropy.append(np.asarray(matrix[:, 1], dtype=np.float32))
        found.seconds.append(len(wav) / SAMPLE_RATE)
        found.fluxes.append(spectral_flux(wav))
        for tier, spans in alignments.items():
            found.tiers[tier].append(reference_boundaries(spans[utt], len(wav) / SAMPLE_RATE))
    return found
