"""So many hours from every speaker, against a choice made one utterance at a time."""

from __future__ import annotations

import random

import pytest

from espnet_entropy.corpora.hours import Balance, draw


def corpus(seed: int = 0) -> list[tuple[str, str, float]]:
    """Speakers with 1 to 200 utterances of 5 to 20 s."""
    rng = random.Random(seed)
    return [
        (f"s{s}", f"s{s}_{i}", round(rng.uniform(5, 20), 2))
        for s in range(20)
        for i in range(rng.choice([1, 5, 50, 200]))
    ]


def choose(utts: list[tuple[str, str, float]], hours: float, seed: int = 0) -> set[str]:
    balance = Balance(seed)
    for utt in utts:
        balance.add(*utt)
    assert len(balance) == len(utts)
    assert balance.hours == pytest.approx(sum(s for *_, s in utts) / 3600)
    choice = balance.choose(hours)
    found = {utt for speaker, utt, _ in utts if choice.takes(speaker, utt)}
    assert len(found) == choice.utterances
    seconds = sum(s for _, utt, s in utts if utt in found)
    assert choice.hours == pytest.approx(seconds / 3600)
    return found


def slow(utts: list[tuple[str, str, float]], hours: float, seed: int = 0) -> set[str]:
    """Whoever has given the least gives the next one, the earlier draw first."""
    given = {speaker: 0.0 for speaker, *_ in utts}
    waiting = {
        speaker: sorted((draw(u, seed), u, t) for s, u, t in utts if s == speaker)
        for speaker in given
    }
    chosen: list[tuple[float, str]] = []
    while any(waiting.values()):
        ready = [(round(given[s], 3), *queue[0][:1], s) for s, queue in waiting.items() if queue]
        speaker = min(ready)[2]
        _, utt, seconds = waiting[speaker].pop(0)
        given[speaker] += seconds
        chosen.append((seconds, utt))
    best: tuple[float, set[str]] = (hours * 3600, set())
    total, found = 0.0, set()
    for seconds, utt in chosen:
        total, found = total + seconds, found | {utt}
        if abs(total - hours * 3600) < best[0]:
            best = (abs(total - hours * 3600), set(found))
    return best[1]


@pytest.mark.parametrize("hours", [0.004, 0.05, 0.5, 2.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_as_one_at_a_time(hours: float, seed: int) -> None:
    utts = corpus(seed)
    assert choose(utts, hours, seed) == slow(utts, hours, seed)


def test_everybody_gives_the_same_or_all() -> None:
    utts = corpus()
    found = choose(utts, 1.0)
    given = {s: sum(t for x, u, t in utts if x == s and u in found) for s, *_ in utts}
    there = {s: sum(t for x, _, t in utts if x == s) for s, *_ in utts}
    generous = [g for s, g in given.items() if g < there[s]]
    assert max(generous) - min(generous) <= 20.0  # one utterance
    assert all(g <= min(generous) + 20.0 for s, g in given.items() if g == there[s])


def test_fewer_hours_lie_within_more_and_the_order_does_not_matter() -> None:
    utts = corpus()
    assert choose(utts, 0.2) < choose(utts, 0.7) < choose(utts, 2.0)
    shuffled = utts[:]
    random.Random(1).shuffle(shuffled)
    assert choose(shuffled, 0.7) == choose(utts, 0.7) != choose(utts, 0.7, seed=1)
    total = sum(t for *_, t in utts) / 3600
    assert choose(utts, total - 1e-4) == {u for _, u, _ in utts}


@pytest.mark.parametrize("hours", [0.0, -1.0, 1000.0, float("nan")])
def test_impossible_hours(hours: float) -> None:
    with pytest.raises(ValueError, match=r"hours: expected more than 0 and at most the \d"):
        choose(corpus(), hours)
