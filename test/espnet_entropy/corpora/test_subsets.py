"""Held-out speakers."""

from __future__ import annotations

import pytest

from espnet_entropy.corpora.subsets import hold_out_speakers

GROUPS = {f"s{i:02}": ("child" if i < 30 else "adult") for i in range(50)}
SIZES = {speaker: 20.0 for speaker in GROUPS}


def test_every_group_gives_its_share() -> None:
    chosen = hold_out_speakers(SIZES, GROUPS, 0.1)
    assert sorted(GROUPS[speaker] for speaker in chosen) == ["adult"] * 2 + ["child"] * 3


def test_choice_depends_on_seed_alone() -> None:
    backwards = dict(sorted(SIZES.items(), reverse=True))
    assert hold_out_speakers(SIZES, GROUPS, 0.1) == hold_out_speakers(backwards, GROUPS, 0.1)
    assert hold_out_speakers(SIZES, GROUPS, 0.1, seed=1) != hold_out_speakers(SIZES, GROUPS, 0.1)


def test_sizes_count_not_heads() -> None:
    sizes = {"a": 100.0, "b": 1.0, "c": 1.0, "d": 1.0}
    for seed in range(10):
        chosen = hold_out_speakers(sizes, dict.fromkeys(sizes, "x"), 0.02, seed)
        order_begins_with_a = "a" in chosen
        assert order_begins_with_a == (sum(sizes[s] for s in chosen) > 50)
        assert 1 <= len(chosen) < 4


def test_a_group_of_one_stays_in_train() -> None:
    groups = {**GROUPS, "lonely": "elder"}
    assert "lonely" not in hold_out_speakers({**SIZES, "lonely": 20.0}, groups, 0.5)


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_impossible_share(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        hold_out_speakers(SIZES, GROUPS, share)


def test_nobody_to_hold_out() -> None:
    with pytest.raises(ValueError, match="group of two or more, got 1 speaker"):
        hold_out_speakers({"a": 1.0}, {"a": "x"}, 0.5)
