"""Units made of an alignment's phones instead of the waveform, as bad as one asks for.

For studies: how good do units have to be? Each phone is ``parts`` units, one after another. Three
kinds of damage, all scaled by one strength, make them resemble units of a quantizer:

- jitter: a phone begins too early or too late (a normal deviate, in seconds);
- confusion: for a few frames in the middle of anything, the unit is one of another phone, mostly
  of the same neighbours of that phone;
- speaker: some phones of a speaker always have the units of a neighbour.

Neighbours are of one class, vowels or consonants, in a seeded order: what the units stand for does
not matter to a model that has to learn them. The same draws serve every strength, so that more
strength damages the same places more.

Legend: N frames (= units), P phones, K = P · parts units, S labelled spans.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from espnet_entropy.evaluation.boundaries import Span
from espnet_entropy.evaluation.phone_frames import SILENCE, frame_centres, phone_class

VOWELS = frozenset("aeiouyæɑɐɒəɚɛɜɝɪɨɔɵʊʉʌøœɶɘɞɤɯAEIOU")
NEIGHBOUR_SHARES = (0.4, 0.25, 0.15)  # of confusions; the others fall on any phone of the class
MEAN_BURST = 2.0  # frames that a confusion lasts


@dataclass(frozen=True)
class Damage:
    """The damage at strength 1.

    Attributes:
        jitter: standard deviation of a boundary's displacement, seconds.
        confusion: share of frames inside long phones that get a unit of another phone; bursts go
            on over a phone's end, and none begins in silence.
        speaker: share of a speaker's phones that have the units of a neighbour.
    """

    jitter: float = 0.06
    confusion: float = 0.6
    speaker: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter: expected 0 to 1 seconds, got {self.jitter}.")
        for name in ("confusion", "speaker"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: expected a share 0..1, got {getattr(self, name)}.")


class PhoneUnits:
    """Aligned phones to units.

    Args:
        names: P phone classes, silence first (``evaluation.phone_frames.phone_names``).
        damage: at strength 1.
        strength: 0 (none) to 1.
        parts: units of a phone, of equal length, one after another.
        seed: of all draws.

    Raises:
        ValueError: for a number of parts or a strength out of range.
    """

    def __init__(
        self,
        names: Sequence[str],
        damage: Damage | None = None,
        strength: float = 0.0,
        parts: int = 2,
        seed: int = 0,
    ) -> None:
        if parts < 1:
            raise ValueError(f"parts: expected at least 1, got {parts}.")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength: expected 0 to 1, got {strength}.")
        self.names, self.damage, self.parts, self.seed = (
            list(names),
            damage or Damage(),
            parts,
            seed,
        )
        self.strength = strength
        self._index = {name: i for i, name in enumerate(self.names)}
        self._rings = self._make_rings()
        self._burst_rate = _burst_rate(self.damage.confusion * strength)

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.names) * self.parts

    def __call__(self, utt: str, speaker: str, spans: Sequence[Span], count: int) -> np.ndarray:
        """Units of an utterance; they depend on nothing else.

        Args:
            utt: its id, which seeds the draws.
            speaker: who speaks.
            spans: aligned phones, sorted; a phone that training did not have counts as silence.
            count: N.

        Returns:
            (N,) int32.
        """
        rng = self._rng("utterance", utt)
        phones, parts = self._frames(spans, count, rng)
        phones = self._of_speaker(speaker)[phones]
        phones = self._confused(phones, rng)
        units: np.ndarray = (phones * self.parts + parts).astype(np.int32)
        return units

    def _rng(self, *key: str) -> np.random.Generator:
        name = "|".join((str(self.seed), *key))
        return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))

    def _make_rings(self) -> list[np.ndarray]:
        """For each phone its class, beginning with itself, in a seeded order that all share."""
        speech = [i for i, name in enumerate(self.names) if name != SILENCE]
        order = self._rng("order").permutation(speech)
        vowel = np.array([self.names[i][0] in VOWELS for i in order], dtype=bool)
        rings = [np.array([i]) for i in range(len(self.names))]
        for members in (order[vowel], order[~vowel]):
            for at, phone in enumerate(members):
                rings[phone] = np.roll(members, -at)
        return rings

    def _frames(
        self, spans: Sequence[Span], count: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(N,) the phone of each frame, and (N,) which part of it; boundaries displaced."""
        silence = self._index.get(SILENCE, 0)
        edges = np.array([[span.start, span.end] for span in spans]).reshape(-1, 2)
        moves = rng.standard_normal(len(edges) + 1) * self.damage.jitter * self.strength
        # neighbours that touch share a boundary, and no boundary overtakes the one before it
        starts = np.maximum.accumulate(edges[:, 0] + moves[:-1])
        touches = np.append(np.isclose(edges[:-1, 1], edges[1:, 0]), False)[: len(edges)]
        ends = np.where(touches, np.append(starts[1:], np.inf)[: len(edges)], edges[:, 1])
        phones = np.full(count, silence)
        parts = np.zeros(count, dtype=np.int64)
        centres = frame_centres(count)
        for span, start, end in zip(spans, starts, ends, strict=True):
            first, last = np.searchsorted(centres, [start, max(start, end)])
            phones[first:last] = self._index.get(phone_class(span.label), silence)
            share = np.arange(last - first) / max(last - first, 1)
            parts[first:last] = (share * self.parts).astype(np.int64)
        return phones, parts

    def _of_speaker(self, speaker: str) -> np.ndarray:
        """(P,) the phone whose units the speaker's phone has."""
        drawn = self._rng("speaker", speaker).random(len(self.names))
        shifted = drawn < self.damage.speaker * self.strength
        return np.array(
            [ring[shift % len(ring)] for ring, shift in zip(self._rings, shifted * 1, strict=True)]
        )

    def _confused(self, phones: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(N,) phones after confusions, which begin anywhere and last a few frames."""
        count = len(phones)
        begins = rng.random(count)
        lengths = rng.geometric(1 / MEAN_BURST, count)
        kinds, others = rng.random(count), rng.random(count)
        heard: np.ndarray = phones.copy()
        for at in np.flatnonzero(begins < self._burst_rate):
            ring = self._rings[phones[at]]
            if len(ring) < 2:
                continue
            near = int(np.searchsorted(np.cumsum(NEIGHBOUR_SHARES), kinds[at]))
            step = (
                1 + near if near < len(NEIGHBOUR_SHARES) else 1 + int(others[at] * (len(ring) - 1))
            )
            heard[at : at + lengths[at]] = ring[1 + (step - 1) % (len(ring) - 1)]
        return heard


def _burst_rate(share: float) -> float:
    """The share of frames at which a burst has to begin so that bursts cover ``share`` of all.

    A frame is left alone if no burst before it reaches it: the product over k of
    1 - rate · P(longer than k frames), which falls as the rate grows.
    """
    reach = (1 - 1 / MEAN_BURST) ** np.arange(50)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - np.prod(1 - middle * reach) < share else (low, middle)
    return low
