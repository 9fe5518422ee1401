"""Held-out speakers."""

from __future__ import annotations

import pytest

from espnet_entropy.corpora.data_dir import Utterance
from espnet_entropy.corpora.subsets import add_sets, hold_out_speakers

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


def utterances(**sizes: int) -> list[Utterance]:
    return [Utterance(f"{s}-{i}", f"{s}{i}.wav", s) for s, n in sizes.items() for i in range(n)]


def test_sets_that_are_missing_are_made_of_whole_speakers() -> None:
    train = utterances(**{f"s{i:02}": 5 for i in range(40)})
    made = add_sets({"train": train}, {"test": 0.2, "valid": 0.1})
    assert {name: len(utts) for name, utts in made.items()} == {
        "train": 140,
        "test": 40,
        "valid": 20,
    }
    speakers = [{utt.speaker for utt in utts} for utts in made.values()]
    assert sum(map(len, speakers)) == 40
    assert sorted(utt.utt for utts in made.values() for utt in utts) == [u.utt for u in train]
    assert made == add_sets({"train": train}, {"test": 0.2, "valid": 0.1})
    assert made != add_sets({"train": train}, {"test": 0.2, "valid": 0.1}, seed=1)
    own = utterances(x=2)
    kept = add_sets({"train": train, "test": own}, {"test": 0.2, "valid": 0.1})
    assert (kept["test"], len(kept["valid"]), len(kept["train"])) == (own, 20, 180)


def test_few_speakers() -> None:
    shares = {"test": 0.1, "valid": 0.1}
    for seed in range(10):
        made = add_sets({"train": utterances(a=100, b=1, c=1)}, shares, seed)
        assert sorted(map(len, made.values())) == [1, 1, 100]
    with pytest.raises(ValueError, match=r"2 speaker.*at least 3 to make test and valid"):
        add_sets({"train": utterances(a=4, b=4)}, shares)
    with pytest.raises(ValueError, match="'train'; expected one, got sets: dev"):
        add_sets({"dev": utterances(a=4)}, shares)
    with pytest.raises(ValueError, match="between 0 and 1"):
        add_sets({"train": utterances(a=4, b=4)}, {"test": 1.5})
