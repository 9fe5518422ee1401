"""Boundaries: the mending rules on made-up signals, and the verification figure."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.signal import lfilter

from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.corpora.mini_synth import boundaries
from espnet_entropy.corpora.mini_synth.espeak import Event
from espnet_entropy.corpora.mini_synth.verify import verify


def signal(*pieces: tuple[int, int]) -> np.ndarray:
    """Pieces of (samples, loudness); loudness 0 is digital silence."""
    return np.concatenate([np.full(n, level, np.int16) for n, level in pieces])


def mend(samples, events, words, positions, pronounce=None):
    found = boundaries.mend(samples, events, words, positions, pronounce or (lambda w: list(w)))
    assert found[0].start == 0
    assert found[-1].end == len(samples)
    assert all(a.end == b.start and a.start < a.end for a, b in pairwise(found))
    return [(p.label, p.start, p.end, p.word) for p in found]


def test_stop_begins_at_its_closure_not_at_its_burst():
    #        a                 closure     burst of k
    samples = signal((2000, 900), (1100, 0), (900, 700))
    events = [Event(0, None, 0), Event(0, "a", 0), Event(3100, "k", 0)]
    assert mend(samples, events, ["ak"], [0]) == [("a", 0, 2000, 0), ("k", 2000, 4000, 0)]


def test_after_a_pause_the_phone_begins_at_its_event():
    samples = signal((2000, 900), (3000, 0), (1000, 700))
    events = [
        Event(0, None, 0), Event(0, "a", 0), Event(2000, "", 0),
        Event(4000, None, 5), Event(5000, "k", 5),
    ]  # fmt: skip
    assert mend(samples, events, ["a", "k"], [0, 5]) == [
        ("a", 0, 2000, 0), ("SIL", 2000, 5000, -1), ("k", 5000, 6000, 1),
    ]  # fmt: skip


def test_pause_walks_back_to_where_sound_ends_and_short_gaps_are_no_pauses():
    samples = signal((1000, 900), (1000, 0), (1000, 800), (200, 0), (1000, 800))
    events = [
        Event(0, None, 0), Event(0, "a", 0), Event(1300, "", 0), Event(2000, "b", 0),
        Event(3000, "", 0), Event(3200, "c", 0),
    ]  # fmt: skip
    assert mend(samples, events, ["abc"], [0]) == [
        ("a", 0, 1000, 0), ("SIL", 1000, 2000, -1), ("b", 2000, 3000, 0), ("c", 3000, 4200, 0),
    ]  # fmt: skip


def test_phones_without_duration_give_their_time_away():
    samples = signal((3000, 500))
    events = [
        Event(0, None, 0), Event(0, "ʲ", 0), Event(20, "e", 0), Event(1500, "x", 0),
        Event(1500, None, 3), Event(1500, "o", 3),
    ]  # fmt: skip
    assert mend(samples, events, ["je", "o"], [0, 3]) == [("e", 0, 1500, 0), ("o", 1500, 3000, 1)]


def test_fused_words_are_split_at_their_phones():
    samples = signal((4000, 500))
    events = [Event(0, None, 0), *(Event(1000 * i, p, 0) for i, p in enumerate("ɪnðə"))]
    pronounce = {"in": ["ɪ", "n"], "the": ["ð", "i"]}.__getitem__
    found = mend(samples, events, ["in", "the"], [0, 3], pronounce)
    assert [(label, word) for label, _, _, word in found] == [
        ("ɪ", 0),
        ("n", 0),
        ("ð", 1),
        ("ə", 1),
    ]


def test_a_word_without_phones_is_an_error():
    with pytest.raises(ValueError, match="no phones for 'b' in: a b"):
        mend(signal((900, 5)), [Event(0, None, 0), Event(0, "a", 0), Event(900, None, 2)],
             ["a", "b"], [0, 2])  # fmt: skip


def colours(shift: float) -> tuple[np.ndarray, list[Interval]]:
    """Noises of 100 ms that change in colour, with boundaries ``shift`` seconds late."""
    rng, count = np.random.default_rng(0), 200
    wav = []
    for angle in rng.uniform(0.1, 3.0, count):  # a resonance somewhere
        noise = lfilter([1], [1, -1.8 * np.cos(angle), 0.81], rng.standard_normal(1600))
        wav.append(noise / noise.std())
    wav[0], wav[-1] = 1e-2 * wav[0], 1e-2 * wav[-1]
    edges = [0.0, *(0.1 * i + shift for i in range(1, count)), 0.1 * count]
    labels = ["SIL", *["x"] * (count - 2), "SIL"]
    phones = [Interval(a, b, x) for (a, b), x in zip(pairwise(edges), labels, strict=True)]
    return np.concatenate(wav), phones


@pytest.mark.parametrize("late_ms", [-12, 0, 7, 20])
def test_verify_finds_how_late_boundaries_are(late_ms):
    report = verify([colours(late_ms / 1000)])
    assert report.offset_ms == pytest.approx(-late_ms, abs=1)
    if late_ms == 0:
        assert report.silence_db == pytest.approx(-40, abs=1)


def test_verify_contrast_is_one_for_random_boundaries():
    wav = np.random.default_rng(1).standard_normal(160000)
    edges = [0.0, *np.sort(np.random.default_rng(2).uniform(0.1, 9.9, 300)), 10.0]
    labels = ["SIL", *["x"] * 299, "SIL"]
    phones = [Interval(a, b, x) for (a, b), x in zip(pairwise(edges), labels, strict=True)]
    report = verify([(wav, phones)])
    assert report.contrast == pytest.approx(1.0, abs=0.1)
