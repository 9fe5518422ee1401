"""Speaker-disjoint subsets of a set that comes without them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from espnet_entropy.corpora.data_dir import Utterance


def hold_out_speakers(
    sizes: Mapping[str, float],
    groups: Mapping[str, str],
    share: float,
    seed: int = 0,
    keep: int = 1,
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
        keep: speakers that a group keeps at least.

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
        chosen.update(_fill(speakers, sizes, share, keep))
    if not chosen:
        raise ValueError(
            f"cannot hold out speakers: expected a group of two or more, got {len(sizes)} "
            f"speaker(s) in {len(members)} group(s). Name a valid set yourself."
        )
    return chosen


def add_sets(
    sets: Mapping[str, Sequence[Utterance]], shares: Mapping[str, float], seed: int = 0
) -> dict[str, list[Utterance]]:
    """The sets of a corpus, and those that it comes without, made of speakers of its ``train``.

    Args:
        sets: the publisher's, ``train`` among them.
        shares: set to the share of all of ``train`` that it gets, by utterances, if the corpus
            lacks it.
        seed: of the choice of speakers.

    Raises:
        ValueError: for a share outside (0, 1), or if ``train`` is missing or has too few
            speakers.
    """
    made = {name: list(utts) for name, utts in sets.items()}
    if not made.get("train"):
        some = ", ".join(made) or "none"
        raise ValueError(f"no utterance is in the set 'train'; expected one, got sets: {some}.")
    speakers = len({utt.speaker for utt in made["train"]})
    total = len(made["train"])
    lacking = [name for name in shares if name not in made]
    if speakers <= len(lacking):
        raise ValueError(
            f"train has {speakers} speaker(s); expected at least {len(lacking) + 1} to make "
            f"{' and '.join(lacking)} of some of them. Put utterances into sets by something else "
            "(chapter, session, place in the list)."
        )
    for left, name in zip(range(len(lacking), 0, -1), lacking, strict=True):
        sizes = Counter(utt.speaker for utt in made["train"])
        # of what is left, which may be little where a speaker has much
        share = min(shares[name] * total / len(made["train"]), max(shares[name], 0.5))
        chosen = hold_out_speakers(sizes, dict.fromkeys(sizes, "all"), share, seed, keep=left)
        made[name] = [utt for utt in made["train"] if utt.speaker in chosen]
        made["train"] = [utt for utt in made["train"] if utt.speaker not in chosen]
    return made


def _fill(speakers: list[str], sizes: Mapping[str, float], share: float, keep: int) -> list[str]:
    """The first speakers, at least one but not the last ones, whose sizes come nearest."""
    target = share * sum(sizes[speaker] for speaker in speakers)
    best, best_error, filled = 0, float("inf"), 0.0
    for count, speaker in enumerate(speakers[:-keep], start=1):
        filled += sizes[speaker]
        if abs(filled - target) < best_error:
            best, best_error = count, abs(filled - target)
    return speakers[:best]


def _draw(speaker: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {speaker}".encode()).hexdigest()
