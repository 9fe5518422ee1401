"""Figures behind the constants of ``planned`` and the spectral flux, on a recipe's valid set.

R-value of phone boundaries (±20 ms) at 15 Hz on that very set, and its paired difference to the
value in use with the 95 % interval over utterances. The flux gets as many boundaries in each
utterance as ``planned``.

    cd egs2/mini_synth/units1; python ../../../tools/bench/choose_constants.py
"""

from __future__ import annotations

import operator

import numpy as np

from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.evaluation import flux
from espnet_entropy.evaluation.bootstrap import Resampled, paired_difference, resampling_weights
from espnet_entropy.evaluation.boundaries import count_boundaries, hypothesis_boundaries
from espnet_entropy.evaluation.chance import chance_boundaries
from espnet_entropy.evaluation.reference import Reference, load_reference
from espnet_entropy.segmenter import planned
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.scored import ScoredSet, read_scored
from espnet_entropy.segmenter.search import calibrate
from espnet_entropy.segmenter.segment import segment

RATE, TOLERANCE = 15.0, 0.02  # Hz, seconds
FALLS, BONUSES, SPANS = (0.0, 0.25, 0.5), (0.5, 1.0, 2.0), range(3, 9)


def main() -> None:
    """Print one line per value."""
    dump = read_scored("dump/scored/valid")
    reference = load_reference(dump, "dump/raw/valid")
    data = DataDir.read("dump/raw/valid")
    wavs = [data.load_audio(utt) for utt in reference.utts]
    for center in (None, 100):
        name = f"planned, center {center}"
        in_use = starts(dump, reference, planned.FALL, planned.CHANGE_BONUS, center)
        for fall in FALLS:
            found = starts(dump, reference, fall, planned.CHANGE_BONUS, center)
            report(f"{name}, fall {fall}", reference, found, in_use)
        for bonus in BONUSES:
            found = starts(dump, reference, planned.FALL, bonus, center)
            report(f"{name}, change bonus {bonus} nats", reference, found, in_use)
    numbers = [len(times) for times in in_use]
    in_use = peaks(reference, wavs, numbers, flux.SPAN)
    for span in SPANS:
        report(f"flux, span {span}", reference, peaks(reference, wavs, numbers, span), in_use)


def starts(
    dump: ScoredSet, reference: Reference, fall: float, bonus: float, center: int | None
) -> list[np.ndarray]:
    """Boundaries of ``planned`` at ``RATE``, seconds, for each utterance."""
    usual, planned.FALL = planned.FALL, fall
    config = SegmenterConfig("planned", center=center, change_bonus=bonus)
    config = calibrate(list(dump.utterances.values()), dump.seconds, config, RATE).config
    pairs = zip(reference.units, reference.entropy, strict=True)
    found = [hypothesis_boundaries(segment(*pair, config)) for pair in pairs]
    planned.FALL = usual
    return found


def peaks(
    reference: Reference, wavs: list[np.ndarray], numbers: list[int], span: int
) -> list[np.ndarray]:
    """Boundaries of the spectral flux, seconds, for each utterance."""
    usual, flux.SPAN = flux.SPAN, span
    found = [
        chance_boundaries("spectral-flux", units, number, flux.spectral_flux(wav))
        for units, number, wav in zip(reference.units, numbers, wavs, strict=True)
    ]
    flux.SPAN = usual
    return found


def report(
    name: str, reference: Reference, found: list[np.ndarray], in_use: list[np.ndarray]
) -> None:
    """Print the R-value and its difference to that of the value in use."""
    weights = resampling_weights(len(reference.utts))
    new, old = (
        Resampled(count_boundaries(reference.tiers["phones"], times, TOLERANCE), weights)
        for times in (found, in_use)
    )
    difference = paired_difference(new, old, operator.attrgetter("r_value"))
    print(f"{name:42} {new.pooled.r_value:.3f}   {difference}")


if __name__ == "__main__":
    main()
