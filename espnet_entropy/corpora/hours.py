"""So many hours of a corpus, the same from every speaker as far as they go.

Utterances of a speaker are taken in the order of a hash of seed and id, and speakers in turn:
always whoever has given the least so far. So every speaker gives the same amount or all there is,
and with the same seed the 100-hour choice lies within the 1000-hour one. Nothing depends on the
order of the list or on a library's random numbers.

Made for ten million utterances: 16 bytes each, not an object.
"""

from __future__ import annotations

import hashlib
from array import array
from dataclasses import dataclass, field

import numpy as np


@dataclass
class Balance:
    """Collects utterances, then chooses.

    Args:
        seed: another seed, another choice.

    Example:
        >>> balance = Balance(seed=0)
        >>> for i in range(4):
        ...     for speaker in "ab":
        ...         balance.add(speaker, f"{speaker}{i}", seconds=900.0)
        >>> choice = balance.choose(hours=1.0)
        >>> sum(choice.takes("a", f"a{i}") for i in range(4))
        2
    """

    seed: int = 0
    _speakers: dict[str, int] = field(default_factory=dict)
    _speaker: array[int] = field(default_factory=lambda: array("I"))
    _draw: array[int] = field(default_factory=lambda: array("Q"))
    _seconds: array[float] = field(default_factory=lambda: array("f"))

    def add(self, speaker: str, utt: str, seconds: float) -> None:
        """Note one utterance."""
        self._speaker.append(self._speakers.setdefault(speaker, len(self._speakers)))
        self._draw.append(draw(utt, self.seed))
        self._seconds.append(seconds)

    def __len__(self) -> int:
        return len(self._draw)

    @property
    def hours(self) -> float:
        """Of all utterances."""
        return float(np.frombuffer(self._seconds, np.float32).sum(dtype=np.float64)) / 3600

    def choose(self, hours: float) -> Choice:
        """The choice whose hours are nearest to ``hours``.

        Raises:
            ValueError: if there are fewer hours, or none are asked.
        """
        if not 0 < hours <= self.hours:
            raise ValueError(
                f"hours: expected more than 0 and at most the {self.hours:.2f} h that there are, "
                f"got {hours:g}; 'hours=null' takes all."
            )
        speaker = np.frombuffer(self._speaker, np.uint32)
        draws = np.frombuffer(self._draw, np.uint64)
        order = np.lexsort((draws, speaker))  # of each speaker, in the order of the draw
        speaker, draws = speaker[order], draws[order]
        seconds = np.frombuffer(self._seconds, np.float32)[order].astype(np.float64)
        first = np.flatnonzero(np.r_[True, speaker[1:] != speaker[:-1]])
        before = np.cumsum(seconds) - seconds  # given before this one, by this speaker …
        before -= np.repeat(before[first], np.diff(np.r_[first, len(speaker)]))
        # … decides who is next; rounded, for the sums depend a little on the order of the list
        rank = np.lexsort((draws, before.round(3)))
        total = np.cumsum(seconds[rank])
        count = int(np.searchsorted(total, hours * 3600))  # total[count] reaches it
        if count + 1 <= len(total) and (
            count == 0 or total[count] + total[count - 1] <= 2 * hours * 3600
        ):
            count += 1  # reaching is nearer than falling short
        chosen = rank[:count]
        largest = np.zeros(len(self._speakers), np.uint64)
        np.maximum.at(largest, speaker[chosen], draws[chosen])
        taken = np.zeros(len(self._speakers), bool)
        taken[speaker[chosen]] = True
        limits = {
            name: int(largest[index]) for name, index in self._speakers.items() if taken[index]
        }
        return Choice(self.seed, limits, float(total[count - 1]) / 3600, count)


@dataclass(frozen=True)
class Choice:
    """Which utterances were chosen: those of each speaker whose draw is at most a limit.

    Args:
        seed: of the draw.
        limits: by speaker; who is not here gives nothing.
        hours: chosen.
        utterances: chosen.
    """

    seed: int
    limits: dict[str, int]
    hours: float
    utterances: int

    def takes(self, speaker: str, utt: str) -> bool:
        """Whether the utterance is one of them."""
        return speaker in self.limits and draw(utt, self.seed) <= self.limits[speaker]


def draw(utt: str, seed: int) -> int:
    """64 bits that depend on seed and id alone."""
    key = hashlib.blake2b(f"{seed} {utt}".encode(), digest_size=8)
    return int.from_bytes(key.digest(), "big")
