"""Units made of an alignment: closed forms without damage, properties with it."""

import math
from collections import Counter

import numpy as np
import pytest

from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.evaluation.phone_frames import frame_phones
from espnet_entropy.tokenizer.phone_units import VOWELS, Damage, PhoneUnits

NAMES = ["SIL", *"abdefgikloptuz"]
NONE = Damage(jitter=0, confusion=0, speaker=0)


def utterance(seed, phones=30, seconds=0.08):
    """Phones that touch, silence first and last."""
    rng = np.random.default_rng(seed)
    labels = ["SIL", *rng.choice(NAMES[1:], phones), "SIL"]
    edges = np.cumsum([0.0, *rng.uniform(0.5 * seconds, 1.5 * seconds, len(labels))]).round(4)
    return [Interval(a, b, label) for a, b, label in zip(edges, edges[1:], labels, strict=False)]


def frames(spans):
    return int(spans[-1].end / 0.02)


def corpus(units, utterances=60, speakers=6):
    """Units and true phones of all frames."""
    made, truth = [], []
    for i in range(utterances):
        spans = utterance(i)
        count = frames(spans)
        made.append(units(f"u{i}", f"s{i % speakers}", spans, count))
        truth.append(frame_phones(spans, count, NAMES))
    return np.concatenate(made), np.concatenate(truth)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_without_damage_a_unit_is_a_part_of_its_phone(parts):
    spans = [Interval(0, 0.1, "SIL"), Interval(0.1, 0.22, "a"), Interval(0.22, 0.3, "k")]
    units = PhoneUnits(NAMES, parts=parts)("u", "s", spans, 15)
    assert units.dtype == np.int32
    # a frame's centre is at 0.0125 + 0.02 i: 5 frames of silence, 6 of a (5 to 10), 4 of k
    expected = []
    for name, count in (("SIL", 5), ("a", 6), ("k", 4)):
        first = NAMES.index(name) * parts
        expected += [first + (i * parts) // count for i in range(count)]
    assert units.tolist() == expected


def test_without_damage_units_tell_the_phone():
    made, truth = corpus(PhoneUnits(NAMES, strength=1.0, damage=NONE))
    np.testing.assert_array_equal(made // 2, truth)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.8])
def test_the_share_of_confused_frames_is_what_was_asked(share):
    """Of frames in the middle of long phones; the unit is then of another phone of the class."""
    units = PhoneUnits(NAMES, Damage(jitter=0, confusion=share, speaker=0), strength=1.0, parts=1)
    spans = [Interval(0, 400, "a")]
    heard = units("u", "s", spans, 20_000)
    assert np.mean(heard != NAMES.index("a")) == pytest.approx(share, abs=0.02)
    others = Counter(NAMES[unit] for unit in heard if NAMES[unit] != "a")
    assert set(others) == set("eiou")
    first, second = others.most_common(2)
    assert first[1] / sum(others.values()) == pytest.approx(0.4 + 0.2 / 4, abs=0.03)
    assert second[1] / sum(others.values()) == pytest.approx(0.25 + 0.2 / 4, abs=0.03)


def test_confusions_last_two_frames_on_average():
    units = PhoneUnits(NAMES, Damage(jitter=0, confusion=0.02, speaker=0), strength=1.0, parts=1)
    heard = units("u", "s", [Interval(0, 2000, "a")], 100_000) != NAMES.index("a")
    runs = np.count_nonzero(np.diff(heard.astype(int)) == 1)
    assert heard.sum() / runs == pytest.approx(2.0, abs=0.2)


def test_silence_is_never_confused_nor_shifted():
    units = PhoneUnits(NAMES, Damage(jitter=0, confusion=1, speaker=1), strength=1.0)
    assert set(units("u", "s", [Interval(0, 4, "SIL")], 200)) <= {0, 1}


def test_boundaries_move_by_the_deviation_asked_and_phones_keep_their_order():
    damage = Damage(jitter=0.04, confusion=0, speaker=0)
    units = PhoneUnits(["SIL", "a", "b"], damage, strength=0.5, parts=1)
    moves = []
    for i in range(2000):
        spans = [Interval(0, 1, "SIL"), Interval(1, 2, "a"), Interval(2, 3, "b")]
        heard = units(f"u{i}", "s", spans, 150)
        assert (np.diff(heard) >= 0).all()
        moves.append(np.flatnonzero(heard == 2)[0] - 100)
    assert np.std(moves) * 0.02 == pytest.approx(0.02, abs=0.002)


def test_a_speaker_has_the_same_units_in_every_utterance_and_others_differ():
    units = PhoneUnits(NAMES, Damage(jitter=0, confusion=0, speaker=0.5), strength=1.0, parts=1)
    mapping = {}
    for i in range(60):
        spans, speaker = utterance(i), f"s{i % 6}"
        count = frames(spans)
        heard = units(f"u{i}", speaker, spans, count)
        for phone, unit in zip(frame_phones(spans, count, NAMES), heard, strict=True):
            assert mapping.setdefault((speaker, phone), unit) == unit
    shifted = [phone != unit for (_, phone), unit in mapping.items() if phone]
    assert 0.3 < np.mean(shifted) < 0.7
    by_phone = {p: {u for (_, q), u in mapping.items() if q == p} for p in range(1, len(NAMES))}
    assert any(len(found) == 2 for found in by_phone.values())
    assert all(len({NAMES[u] in VOWELS for u in found}) == 1 for found in by_phone.values())


def test_more_strength_tells_less_about_the_phone():
    def told(strength):
        made, truth = corpus(PhoneUnits(NAMES, strength=strength))
        joint = Counter(zip(made.tolist(), truth.tolist(), strict=True))
        units, phones = Counter(made.tolist()), Counter(truth.tolist())
        total = len(made)
        return sum(
            n / total * math.log(n * total / (units[u] * phones[p])) for (u, p), n in joint.items()
        )

    values = [told(strength) for strength in (0, 0.1, 0.3, 0.6, 1.0)]
    assert values == sorted(values, reverse=True)


def test_units_depend_on_the_utterance_alone_and_on_the_seed():
    spans = utterance(3)
    first = PhoneUnits(NAMES, strength=0.5)("u", "s", spans, frames(spans))
    again = PhoneUnits(NAMES, strength=0.5)("u", "s", spans, frames(spans))
    other = PhoneUnits(NAMES, strength=0.5, seed=1)("u", "s", spans, frames(spans))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_phones_that_training_did_not_have_and_gaps_are_silence():
    spans = [Interval(0, 0.1, "a"), Interval(0.1, 0.2, "ʘ"), Interval(0.3, 0.4, "a")]
    heard = PhoneUnits(NAMES, parts=1)("u", "s", spans, 20)
    assert heard.tolist() == [1] * 5 + [0] * 10 + [1] * 5


def test_an_utterance_without_phones_is_silence():
    assert PhoneUnits(NAMES, strength=1.0)("u", "s", [], 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": 0}, "parts: expected at least 1, got 0"),
        ({"strength": 1.5}, "strength: expected 0 to 1, got 1.5"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        PhoneUnits(NAMES, **options)


@pytest.mark.parametrize("name", ["confusion", "speaker", "jitter"])
def test_impossible_damage_is_refused(name):
    with pytest.raises(ValueError, match=f"{name}: expected"):
        Damage(**{name: -0.1})
