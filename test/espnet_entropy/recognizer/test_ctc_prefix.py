"""CTC's prefix scores against every alignment there is, and against ESPnet's over long speech."""

import itertools
import math

import pytest
import torch
from espnet.nets.ctc_prefix_score import CTCPrefixScoreTH

from espnet_entropy.recognizer.ctc_prefix import BLANK, CTCPrefixes

V, EOS = 5, 4
LENGTHS = torch.tensor([4, 1, 3])


def random_logp(batch, groups, sharp=2.0, seed=0, vocabulary=V):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(batch, groups, vocabulary, generator=generator) * sharp).log_softmax(-1)


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != BLANK)


def alignments(logp):
    """(text, probability) of each of the V^M paths through logp (M, V)."""
    for path in itertools.product(range(V), repeat=len(logp)):
        yield collapse(path), math.exp(sum(float(logp[m, v]) for m, v in enumerate(path)))


def expected(logp, prefix, token):
    """Of texts that begin so; ``EOS`` as a token of CTC begins texts like any other."""
    if token == EOS:
        total = sum(p for text, p in alignments(logp) if text == prefix)
    else:
        longer = (*prefix, token)
        total = sum(p for text, p in alignments(logp) if text[: len(longer)] == longer)
    return math.log(total) if total and token != BLANK else -math.inf


@pytest.mark.parametrize("prefix", [(), (1,), (1, 1), (2, 1), (3, 3, 1)])
def test_every_alignment_counts_once(prefix):
    logp = random_logp(len(LENGTHS), int(LENGTHS.max()))
    prefixes = CTCPrefixes(logp, LENGTHS, 2, EOS)
    for token in prefix:
        # of the second hypothesis, so that parents are read
        prefixes.extend(torch.tensor([[1, 1]] * 3), torch.tensor([[2, token]] * 3))
    some = torch.tensor([EOS, 3, BLANK, 1]).expand(3, 2, 4)
    found, chosen = prefixes.score(), prefixes.score(some)
    for b, length in enumerate(LENGTHS.tolist()):
        for token in range(V):
            wanted = expected(logp[b, :length], prefix, token)
            assert float(found[b, 1, token]) == pytest.approx(wanted, abs=1e-5)
            for place in (some[b, 1] == token).nonzero()[:, 0].tolist():
                assert float(chosen[b, 1, place]) == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("groups", "sharp"), [(2000, 12.0), (500, 0.1)])
def test_long_speech(groups, sharp):
    """Frame by frame in float64, as ESPnet does it; float32 of e^-700 would be zero."""
    logp = random_logp(1, groups, sharp, seed=1)
    theirs = CTCPrefixScoreTH(logp.double(), torch.tensor([groups]), BLANK, EOS)
    ours = CTCPrefixes(logp, torch.tensor([groups]), 1, EOS)
    tokens, state, before = [EOS], None, 0.0
    for token in (1, 1, 3, 2):
        scores, state = theirs([torch.tensor(tokens)], state)
        mine = ours.score()
        # theirs counts from the hypothesis; its zero is e^-1e10
        torch.testing.assert_close(mine[0, 0, 1:], scores[0, 1:] + before, rtol=1e-9, atol=1e-9)
        picked = theirs.index_select_state(state, torch.tensor([[token]]))
        state, before = picked, float(mine[0, 0, token])
        ours.extend(torch.tensor([[0]]), torch.tensor([[token]]))
        tokens.append(token)
    assert float(ours.score()[0, 0, EOS]) < -700


def test_padding_and_neighbours_change_nothing():
    logp = random_logp(3, 9, seed=2)
    lengths = torch.tensor([2, 9, 5])
    parents, tokens = torch.tensor([[0, 0]] * 3), torch.tensor([[1, 3], [2, 2], [3, 1]])
    together = CTCPrefixes(logp, lengths, 2, EOS)
    together.extend(parents, tokens)
    together.score()  # what it keeps has to be kept in step
    together.keep(torch.tensor([True, False, True]))
    found = together.score()
    logp[0, 2:] = float("nan")
    for place, b in enumerate((0, 2)):
        alone = CTCPrefixes(logp[b : b + 1, : int(lengths[b])], lengths[b : b + 1], 2, EOS)
        alone.extend(parents[:1], tokens[b : b + 1])
        torch.testing.assert_close(alone.score()[0], found[place], rtol=0, atol=1e-12)
    padded = CTCPrefixes(logp, lengths, 2, EOS)
    padded.extend(parents, tokens)
    torch.testing.assert_close(padded.score()[[0, 2]], found, rtol=0, atol=1e-12)


def test_a_text_longer_than_the_speech_is_impossible():
    prefixes = CTCPrefixes(random_logp(1, 2), torch.tensor([2]), 1, EOS)
    zero = torch.tensor([[0]])
    for token in (1, 2):
        prefixes.extend(zero, torch.tensor([[token]]))
    found = prefixes.score()[0, 0]
    assert torch.isfinite(found).nonzero()[:, 0].tolist() == [EOS]
    prefixes.extend(zero, torch.tensor([[3]]))
    assert (prefixes.score() == -math.inf).all()
    assert (prefixes.score(torch.tensor([[[1, 2, 3, EOS]]])) == -math.inf).all()
