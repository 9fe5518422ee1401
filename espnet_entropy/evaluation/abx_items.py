"""Items of an ABX task: the stretches of speech that are to be told apart.

An item is a phone between two others, its context. As in the ZeroSpeech challenge it is heard
either with them (``triphone``) or alone (``phone``: phone in context). All three must be spoken
one after the other: next to silence there is no item.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from espnet_entropy.evaluation.boundaries import MERGE, Span
from espnet_entropy.evaluation.phone_frames import SILENCE, frame_centres, phone_class


@dataclass(frozen=True)
class AbxConfig:
    """Which items an ABX task is made from.

    Attributes:
        item: what is heard: the phone with its neighbours, or alone.
        max_items: how many items to take at most, whole contexts in a seeded order; 0 leaves
            ABX out.
        max_per_cell: items of one speaker, context and phone that are kept at most, a seeded
            choice (10 in ZeroSpeech's program).
        max_x_speakers: across speakers, other speakers that X comes from at most, for each A
            and B, a seeded choice (5 in ZeroSpeech's program).
        seed: of these choices.
    """

    item: Literal["triphone", "phone"] = "triphone"
    max_items: int = 20_000
    max_per_cell: int = 10
    max_x_speakers: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("max_items", 0), ("max_per_cell", 2), ("max_x_speakers", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: expected at least {least}, got {getattr(self, name)}.")


class Item(NamedTuple):
    """Frames ``start`` to ``end`` (exclusive) of an utterance, and what is spoken there."""

    utt: str
    start: int
    end: int
    phone: str
    context: tuple[str, str]
    speaker: str


def find_items(
    alignments: Mapping[str, Sequence[Span]],
    speakers: Mapping[str, str],
    frames: Mapping[str, int],
    kind: Literal["triphone", "phone"],
) -> list[Item]:
    """Every item of a set that has at least one frame.

    Args:
        alignments: sorted phones of each utterance.
        speakers: of each utterance.
        frames: number of frames of each utterance; those absent have no items.
        kind: as ``AbxConfig.item``.
    """
    items: list[Item] = []
    for utt, count in sorted(frames.items()):
        centres = frame_centres(count)
        spans = [span for span in alignments[utt] if span.end > span.start]
        for before, phone, after in zip(spans, spans[1:], spans[2:], strict=False):
            names = [phone_class(span.label) for span in (before, phone, after)]
            joined = phone.start - before.end < MERGE and after.start - phone.end < MERGE
            if SILENCE in names or not joined:
                continue
            edges = (phone.start, phone.end)
            if kind == "triphone":
                edges = (before.start, after.end)
            start, end = map(int, np.searchsorted(centres, edges))
            if end > start:
                context = (names[0], names[2])
                items.append(Item(utt, start, end, names[1], context, speakers[utt]))
    return items


def choose_items(items: Sequence[Item], config: AbxConfig) -> list[Item]:
    """At most ``max_items`` of those that some ABX task can use.

    Contexts are taken whole, in a seeded order, until the next one would be too much: fewer
    items of every context would leave most of them without A, B and X. Within one at most
    ``max_per_cell`` of each speaker and phone are kept.
    """
    random = np.random.default_rng(config.seed)
    contexts: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in sorted(items):
        contexts[item.context].append(item)
    chosen: list[Item] = []
    names = sorted(contexts)
    for index in random.permutation(len(names)):
        of_context = contexts[names[index]]
        if not _is_useful(of_context):
            continue
        kept = _thin(of_context, config.max_per_cell, random)
        if len(chosen) + len(kept) > config.max_items:
            break
        chosen += kept
    return sorted(chosen)


def _thin(items: Sequence[Item], most: int, random: np.random.Generator) -> list[Item]:
    cells: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for item in items:
        cells[item.speaker, item.phone].append(item)
    kept = []
    for _, cell in sorted(cells.items()):
        picks = random.permutation(len(cell))[:most]
        kept += [cell[i] for i in picks]
    return kept


def _is_useful(items: Sequence[Item]) -> bool:
    """Whether someone says two phones in this context, one of which an X can be found for."""
    cells = Counter((item.speaker, item.phone) for item in items)
    speakers = Counter(phone for _, phone in cells)  # of each phone
    by_speaker = itertools.groupby(sorted(cells), key=lambda cell: cell[0])
    for speaker, group in by_speaker:
        phones = [phone for _, phone in group]
        if len(phones) > 1 and any(cells[speaker, p] > 1 or speakers[p] > 1 for p in phones):
            return True
    return False
