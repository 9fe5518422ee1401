import itertools
from collections import Counter

import numpy as np
import pytest

from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.evaluation.abx_items import AbxConfig, Item, choose_items, find_items
from espnet_entropy.evaluation.phone_frames import frame_centres, frame_phones, phone_names
from espnet_entropy.utils.grid import boundary_time


def spans(text: str, step: float = 0.1) -> list[Interval]:
    return [Interval(i * step, (i + 1) * step, label) for i, label in enumerate(text.split())]


def found(text: str, kind: str = "triphone") -> list[Item]:
    return find_items({"u": spans(text)}, {"u": "s"}, {"u": 100}, kind)


def test_an_item_is_a_phone_between_spoken_ones():
    items = found("SIL K AE1 T sil D AO0 G")
    assert [(item.phone, item.context) for item in items] == [
        ("AE", ("K", "T")),
        ("AO", ("D", "G")),
    ]
    assert not found("K AE1")
    gap = [*spans("K AE1"), Interval(0.25, 0.3, "T")]
    assert not find_items({"u": gap}, {"u": "s"}, {"u": 100}, "phone")


@pytest.mark.parametrize("kind", ["triphone", "phone"])
def test_frames_whose_centres_lie_in_it(kind):
    (item,) = found("a b c d", kind)[:1]
    low, high = (0.0, 0.3) if kind == "triphone" else (0.1, 0.2)
    centres = frame_centres(100)
    inside = np.flatnonzero((centres >= low) & (centres < high))
    assert (item.start, item.end) == (inside[0], inside[-1] + 1)


def test_items_without_a_frame_are_left_out():
    short = [Interval(0.0, 0.1, "a"), Interval(0.1, 0.102, "b"), Interval(0.102, 0.3, "c")]
    assert not find_items({"u": short}, {"u": "s"}, {"u": 100}, "phone")
    assert not find_items({"u": spans("a b c", 0.1)}, {"u": "s"}, {"u": 4}, "phone")


def many() -> list[Item]:
    generator = np.random.default_rng(0)
    every = itertools.product("abc", "xyz", "pq", "st")
    return [
        Item(f"{name}{i:02d}", 0, 3, phone, (before, "k"), speaker)
        for name, (phone, before, _, speaker) in enumerate(every)
        for i in range(int(generator.integers(1, 9)))
    ]


def test_no_more_than_asked_and_the_same_for_a_seed():
    for most in (0, 10, 40, 1000):
        chosen = choose_items(many(), AbxConfig(max_items=most, max_per_cell=3))
        assert len(chosen) <= most
        assert max(Counter(i[3:] for i in chosen).values(), default=0) <= 3
        assert chosen == choose_items(many()[::-1], AbxConfig(max_items=most, max_per_cell=3))
    cells = Counter(item[3:] for item in many())
    assert len(chosen) == sum(min(3, size) for size in cells.values())
    seeds = [
        choose_items(many(), AbxConfig(max_items=40, max_per_cell=3, seed=s)) for s in range(9)
    ]
    assert all(0 < len({item.context for item in seed}) < 3 for seed in seeds)  # whole contexts
    assert any(seed != seeds[0] for seed in seeds)


def test_contexts_without_a_task_are_left_out():
    one_phone = [Item("u", 0, 3, "a", ("b", "c"), "s"), Item("v", 0, 3, "a", ("b", "c"), "t")]
    assert not choose_items(one_phone, AbxConfig())
    # s says both phones; X can come from t
    two = [*one_phone, Item("w", 0, 3, "d", ("b", "c"), "s")]
    assert choose_items(two, AbxConfig()) == two


def test_refusals():
    with pytest.raises(ValueError, match="max_per_cell: expected at least 2, got 1"):
        AbxConfig(max_per_cell=1)


def test_every_frame_has_the_phone_at_its_centre():
    labels = [Interval(0.05, 0.11, "AH0"), Interval(0.11, 0.11, "B"), Interval(0.11, 0.3, "AH1")]
    names = phone_names([labels, spans("sil Z")])
    assert names == ["SIL", "AH", "B", "Z"]
    phones = frame_phones(labels, 20, names)
    expected = [
        next((names.index("AH") for s in labels if s.start <= t < s.end), 0)
        for t in 0.02 * np.arange(20) + 0.0125
    ]
    assert phones.tolist() == expected
    # a frame's centre is half-way between the boundaries of its unit
    middle = (boundary_time(np.arange(20)) + boundary_time(np.arange(1, 21))) / 2
    np.testing.assert_allclose(frame_centres(20), middle)
