"""Speaker-disjoint subsets of a set that comes without them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def hold_out_speakers(
    sizes: Mapping[str, float], groups: Mapping[str, str], share: float, seed: int = 0
) -> set[str]:
    """Choose speakers for a valid set, the same share of every group (age, gender, …).

    Speakers are taken in the order of a hash of seed and name: the choice does not depend on
    the order of the list, nor on any library's random numbers. Of each group as many are taken
    as come nearest to the share; a group keeps at least one speaker on either side, except
    that a group of one speaker stays in train.

    Args:
        sizes: speaker to utterances (or seconds, or whatever the share is of).
        groups: speaker to group; one group for all is fine.
        share: the share of every group's size to hold out (0..1).
        seed: another seed, another choice.

    Returns:
        The held-out speakers.

    Raises:
        ValueError: for a share outside (0, 1), or if no group has two speakers.

    Example:
        >>> sizes = {"a": 10, "b": 10, "c": 10, "d": 10}
        >>> len(hold_out_speakers(sizes, {"a": "m", "b": "m", "c": "f", "d": "f"}, 0.5))
        2
    """
    if not 0.0 < share < 1.0:
        raise ValueError(f"valid share: expected a number between 0 and 1, got {share}.")
    members: dict[str, list[str]] = {}
    for speaker in sorted(sizes, key=lambda speaker: _draw(speaker, seed)):
        members.setdefault(groups[speaker], []).append(speaker)
    chosen: set[str] = set()
    for speakers in members.values():
        chosen.update(_fill(speakers, sizes, share))
    if not chosen:
        raise ValueError(
            f"cannot hold out speakers: expected a group of two or more, got {len(sizes)} "
            f"speaker(s) in {len(members)} group(s). Name a valid set yourself."
        )
    return chosen


def _fill(speakers: list[str], sizes: Mapping[str, float], share: float) -> list[str]:
    """The first speakers, at least one and not all, whose sizes come nearest to the share."""
    target = share * sum(sizes[speaker] for speaker in speakers)
    best, best_error, filled = 0, float("inf"), 0.0
    for count, speaker in enumerate(speakers[:-1], start=1):
        filled += sizes[speaker]
        if abs(filled - target) < best_error:
            best, best_error = count, abs(filled - target)
    return speakers[:best]


def _draw(speaker: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {speaker}".encode()).hexdigest()
