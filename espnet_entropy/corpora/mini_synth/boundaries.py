"""Reference words and phones from the synthesizer's events, mended with a look at the signal.

espeak-ng tells when each phone begins, but:

* a stop's event comes at its burst (and some fricatives' after a short gap): the start walks
  back through the digital silence before it to where the previous sound ended;
* after a pause, where a closure cannot be told from the pause, the phone begins at the event;
* a phone without label is a pause (``SIL``) where the signal is silent for 30 ms or more, else it
  is a transition that belongs to the phone before it;
* phones shorter than 5 ms have no sound of their own (linking marks): they are dropped, their
  time goes to the phone before them, or after them at the start of a word;
* frequent pairs ("in the") come as one word: they are split where their phones, aligned with those
  of the single words, meet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from espnet_entropy.corpora.mini_synth.espeak import SAMPLE_RATE, Event
from espnet_entropy.utils.edit_distance import edit_distance

SIL = "SIL"
MIN_PAUSE = round(0.030 * SAMPLE_RATE)
MIN_PHONE = round(0.005 * SAMPLE_RATE)


@dataclass
class Phone:
    """A stretch of signal: samples [start, end), its label, the index of its word (-1: SIL)."""

    start: int
    end: int
    label: str
    word: int


def mend(
    samples: np.ndarray,
    events: Sequence[Event],
    words: Sequence[str],
    positions: Sequence[int],
    pronounce: Callable[[str], list[str]],
) -> list[Phone]:
    """Contiguous phones and silences over the whole signal.

    Args:
        samples: (T,) int16 as synthesized, without noise.
        events: word and phone events in order of time.
        words: the words spoken.
        positions: where each word begins in the synthesized text, in characters.
        pronounce: the phones of a single word, for pairs that come as one.

    Returns:
        Phones in order, the first from 0, the last to T, every word with at least one.

    Raises:
        ValueError: if a word remains without phones.
    """
    phones = _label(samples, events)
    _number_words(phones, events, words, positions, pronounce)
    _walk_back(samples, phones)
    phones = _drop_short(phones)
    missing = set(range(len(words))) - {phone.word for phone in phones}
    if missing:
        lost = ", ".join(words[i] for i in sorted(missing))
        raise ValueError(f"mini_synth: espeak-ng gave no phones for '{lost}' in: {' '.join(words)}")
    return phones


def word_spans(phones: Sequence[Phone]) -> list[Phone]:
    """Words (label: the index) and silences, merged from their phones."""
    return [
        Phone(group[0].start, group[-1].end, SIL if word < 0 else str(word), word)
        for word, found in itertools.groupby(phones, key=lambda phone: phone.word)
        for group in [list(found)]
    ]


def _label(samples: np.ndarray, events: Sequence[Event]) -> list[Phone]:
    """Phones as the events have them (``word`` counts word events); pauses merged to SIL."""
    phones: list[Phone] = []
    word = -1
    for event in events:
        if event.label is None:
            word += 1
            continue
        if phones:
            phones[-1].end = event.sample
        phones.append(Phone(event.sample, len(samples), event.label, word))
    if phones and phones[0].start > 0:
        phones.insert(0, Phone(0, phones[0].start, "", -1))
    result: list[Phone] = []
    for phone in phones:
        if not phone.label and (not result or _silent(samples, phone)):
            phone.label, phone.word = SIL, -1
        same = result and (not phone.label or (phone.label == SIL and result[-1].label == SIL))
        if same:
            result[-1].end = phone.end
        else:
            result.append(phone)
    return result


def _silent(samples: np.ndarray, phone: Phone) -> bool:
    stretch = samples[phone.start : phone.end]
    return len(stretch) >= MIN_PAUSE and float(np.mean(stretch == 0)) > 0.5


def _number_words(
    phones: list[Phone],
    events: Sequence[Event],
    words: Sequence[str],
    positions: Sequence[int],
    pronounce: Callable[[str], list[str]],
) -> None:
    """Replace each phone's word event by the index of its word, splitting fused words."""
    heads = [event.text_position for event in events if event.label is None]
    members: list[list[int]] = [[] for _ in heads]
    for index, position in enumerate(positions):  # the last event that is not behind the word
        event = max((i for i, head in enumerate(heads) if head <= position), default=0)
        members[event].append(index)
    by_event: dict[int, list[Phone]] = {}
    for phone in phones:
        if phone.word >= 0:
            by_event.setdefault(phone.word, []).append(phone)
    for event, found in by_event.items():
        group = members[event]
        if not group:
            raise ValueError(f"mini_synth: espeak-ng reports a word too many in: {' '.join(words)}")
        labels = [phone.label for phone in found]
        cuts = split_fused(labels, [pronounce(words[i]) for i in group]) if len(group) > 1 else []
        for place, (a, b) in enumerate(itertools.pairwise([0, *cuts, len(found)])):
            for phone in found[a:b]:
                phone.word = group[place]


def split_fused(phones: Sequence[str], words: Sequence[Sequence[str]]) -> list[int]:
    """Where to cut ``phones`` so that the pieces are as near as possible to ``words``.

    Example:
        >>> split_fused(["ɪ", "n", "ð", "ə"], [["ɪ", "n"], ["ð", "i"]])
        [2]
    """
    cuts = itertools.combinations(range(1, len(phones)), len(words) - 1)
    return list(
        min(
            cuts,
            key=lambda cut: sum(
                edit_distance(phones[a:b], word)
                for (a, b), word in zip(
                    itertools.pairwise([0, *cut, len(phones)]), words, strict=True
                )
            ),
        )
    )


def _walk_back(samples: np.ndarray, phones: list[Phone]) -> None:
    """Move starts back through digital silence, never beyond the previous event."""
    for previous, phone in itertools.pairwise(phones):
        if previous.label == SIL:
            continue
        sounding = np.flatnonzero(samples[previous.start : phone.start])
        start = previous.start + int(sounding[-1]) + 1 if len(sounding) else phone.start
        previous.end = phone.start = start


def _drop_short(phones: list[Phone]) -> list[Phone]:
    """Drop phones shorter than ``MIN_PHONE``; their time goes to a neighbour in the word."""
    result: list[Phone] = []
    start: int | None = None  # of a dropped phone whose time the next one takes
    for phone, following in itertools.zip_longest(phones, phones[1:]):
        if start is not None:
            phone.start, start = start, None
        if phone.end - phone.start >= MIN_PHONE or phone.label == SIL:
            result.append(phone)
        elif result and result[-1].word == phone.word:
            result[-1].end = phone.end
        elif following is not None and following.word == phone.word:
            start = phone.start
        else:  # alone in its word: too short, but a word has a phone
            result.append(phone)
    return result
