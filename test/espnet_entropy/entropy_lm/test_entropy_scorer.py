"""The scorer's three modes against a slow reference that follows NOTES 9 word by word."""

import numpy as np
import pytest
import torch

from espnet_entropy.entropy_lm import scorer
from espnet_entropy.entropy_lm.config import EntropyLMConfig
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.entropy_lm.scorer import EntropyScorer, windows
from espnet_entropy.entropy_lm.units import run_starts

K, C = 13, 64
LENGTHS = [1, 2, 31, 32, 63, 64, 65, 95, 96, 97, 128, 150, 3 * C]


def make_lm(dedup: bool = False) -> EntropyLM:
    torch.manual_seed(1)
    model = EntropyLM(
        EntropyLMConfig(K, width=16, layers=2, heads=2, ffn=32, context=C, dedup=dedup)
    )
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.data.mul_(20.0)
    return model.eval().requires_grad_(False)


LM = make_lm()


def make_units(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(1000 * seed + length).integers(0, K, length).astype(np.int32)


def reference(units: np.ndarray) -> np.ndarray:
    """Each unit by a forward pass of its own, entropy in float64."""
    out = []
    for i in range(len(units)):
        begin = 0 if i < C else C // 2 * (i // (C // 2) - 1)
        ids = torch.tensor([[K, *units[begin:i].tolist()]])
        p = LM(ids)[0, -1, :K].double().softmax(-1)
        out.append(-(p * p.log()).sum().item())
    return np.array(out)


@pytest.mark.parametrize("length", LENGTHS)
def test_score_is_the_definition(length):
    units = make_units(length)
    scores = EntropyScorer(LM).score(units)
    assert scores.dtype == np.float32
    assert scores.shape == (length,)
    np.testing.assert_allclose(scores, reference(units), atol=2e-5)


def test_the_entropies_of_the_test_vary():
    scores = EntropyScorer(LM).score(make_units(150))
    assert scores.std() > 0.2
    assert 0 <= scores.min() < scores.max() <= np.log(K)


@pytest.mark.parametrize("batch_units", [1, 100, 5000])
def test_batches_of_any_composition_agree(batch_units):
    many = [make_units(n, seed) for seed in range(3) for n in LENGTHS]
    batched = EntropyScorer(LM, batch_units)
    alone = [EntropyScorer(LM).score(units) for units in many]
    for order in (range(len(many)), np.random.default_rng(0).permutation(len(many))):
        scores = batched.score_batch([many[i] for i in order])
        for i, score in zip(order, scores, strict=True):
            np.testing.assert_allclose(score, alone[i], atol=2e-5)


def test_the_same_list_gives_the_same_bytes():
    many = [make_units(n) for n in LENGTHS]
    first, again = (EntropyScorer(LM).score_batch(many) for _ in range(2))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("ahead", [1, 99])
def test_a_batch_may_be_given_before_the_last_is_answered(monkeypatch, ahead):
    many = [make_units(n) for n in LENGTHS]
    at_once = EntropyScorer(LM, 100).score_batch(many)
    monkeypatch.setitem(scorer.AHEAD, "cpu", ahead)
    queued = EntropyScorer(LM, 100).score_batch(many)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(at_once, queued, strict=True))


@pytest.mark.parametrize("size", [1, 3, 32, 33, 1000])
@pytest.mark.parametrize("length", [1, 63, 64, 65, 96, 3 * C])
def test_a_stream_gives_the_same_whatever_the_pieces(size, length):
    units = make_units(length)
    stream = EntropyScorer(LM).stream()
    pieces = [stream.push(units[i : i + size]) for i in range(0, length, size)]
    assert [len(p) for p in pieces] == [len(units[i : i + size]) for i in range(0, length, size)]
    np.testing.assert_allclose(np.concatenate(pieces), EntropyScorer(LM).score(units), atol=2e-5)


def test_a_stream_knows_the_entropy_before_the_unit():
    units, stream = make_units(140), EntropyScorer(LM).stream()
    for unit in units:
        expected = stream.next_entropy
        assert stream.push([unit])[0] == np.float32(expected)
    assert stream.push([]).shape == (0,)


def test_every_unit_is_kept_once_and_sees_half_a_context():
    for length in range(1, 40):
        kept = []
        for w in windows(length, 8):
            kept += range(w.keep, w.end)
            assert len(w) <= 8
            assert w.keep == 0 or w.keep - w.start == 4
        assert kept == list(range(length))


def test_the_first_unit_is_scored_from_sos_alone():
    first = {EntropyScorer(LM).score([u, 3, 4])[0] for u in range(K)}
    assert max(first) - min(first) < 1e-5


def test_dedup_scores_run_starts_and_gives_repetitions_zero():
    lm = make_lm(dedup=True)
    units = np.repeat(make_units(150), np.random.default_rng(0).integers(1, 4, 150))
    first = run_starts(units)
    scores = EntropyScorer(lm).score(units)
    np.testing.assert_allclose(scores[first], EntropyScorer(LM).score(units[first]), atol=2e-5)
    assert (scores[~first] == 0).all()
    stream = EntropyScorer(lm).stream()
    pieces = [stream.push(units[i : i + 7]) for i in range(0, len(units), 7)]
    np.testing.assert_allclose(np.concatenate(pieces), scores, atol=2e-5)


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([], "at least one"),
        ([[1, 2]], "vector"),
        ([1.0, 2.0], "whole numbers"),
        ([0, K, 1], f"unit {K} at position 1 is outside 0 .. {K - 1}"),
        ([0, -1], "unit -1 at position 1"),
    ],
)
def test_wrong_units_are_named(units, message):
    with pytest.raises(ValueError, match=message):
        EntropyScorer(LM).score(units)
    if units:
        with pytest.raises(ValueError, match=message):
            EntropyScorer(LM).stream().push(units)


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(ValueError, match="batch_units"):
        EntropyScorer(LM, 0)
    assert EntropyScorer(LM).score_batch([]) == []
