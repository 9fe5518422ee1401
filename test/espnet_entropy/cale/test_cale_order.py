"""Does CALE learn the order of the units in a group? Only where something shows it."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from espnet_entropy.cale.config import CaleConfig
from espnet_entropy.cale.encoder import CALE

ORDERS = torch.tensor(list(itertools.permutations(range(3))))  # every group is one of these
LABELS = torch.tensor([int(p.index(0) < p.index(1)) for p in ORDERS.tolist()])  # 3 of each
GROUPS = 2  # per utterance
VARIANTS = {
    "convolution": {"token_update": "none", "conv": 5},
    "window": {"token_update": "window", "window": 2},
    "full": {"token_update": "full"},
}


def batch(seed, utterances=64):
    """Units (B, 3 M), group ids likewise, lengths (B,) and a label for each group (B, M)."""
    drawn = torch.randint(len(ORDERS), (utterances, GROUPS), generator=rng(seed))
    ids = torch.arange(GROUPS).repeat_interleave(3).expand(utterances, -1)
    lengths = torch.full((utterances,), 3 * GROUPS)
    return ORDERS[drawn].flatten(1), ids, lengths, LABELS[drawn]


def rng(seed):
    return torch.Generator().manual_seed(seed)


def train(config, steps=100):
    """Share of the groups of unseen utterances that are told right."""
    torch.manual_seed(0)
    cale = CALE(CaleConfig(width=32, layers=2, heads=2, dropout=0.0, **config), num_units=3)
    head = torch.nn.Linear(32, 2)
    optimizer = torch.optim.Adam([*cale.parameters(), *head.parameters()], lr=5e-3)
    for step in range(steps):
        *speech, labels = batch(step)
        loss = F.cross_entropy(head(cale(*speech)[0]).flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    *speech, labels = batch(10_000)
    with torch.no_grad():
        return (head(cale.eval()(*speech)[0]).argmax(-1) == labels).float().mean().item()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_order_within_groups_is_learned(variant):
    assert train(VARIANTS[variant]) > 0.95  # chance: 0.5


@pytest.mark.parametrize("config", [{}, {"paper_exact": True}, {"time": "start+duration"}])
def test_without_updates_and_convolution_no_order_is_seen(config):
    """Whatever the weights: all orders of a group have one vector, so that no head beats chance."""
    torch.manual_seed(1)
    config = {"token_update": "none", "width": 32, "heads": 2, "dropout": 0.0} | config
    cale = CALE(CaleConfig(**config), num_units=3).eval()
    for weight in cale.parameters():
        weight.data.normal_(std=0.5)
    ids = torch.zeros(len(ORDERS), 3, dtype=torch.long)
    vectors = cale(ORDERS, ids, torch.full((len(ORDERS),), 3))[0][:, 0]
    torch.testing.assert_close(vectors, vectors[:1].expand_as(vectors), atol=1e-5, rtol=1e-5)
    logits = torch.nn.Linear(32, 2)(vectors)
    assert F.cross_entropy(logits, LABELS).item() >= math.log(2) - 1e-5
    # and the same with each variant tells them apart
    cale = CALE(CaleConfig(**config | VARIANTS["full"] | {"paper_exact": False}), num_units=3)
    vectors = cale.eval()(ORDERS, ids, torch.full((len(ORDERS),), 3))[0][:, 0]
    assert (vectors[1:] - vectors[:1]).abs().amax(-1).min() > 1e-3
