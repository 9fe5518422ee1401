"""CALE against the dense reference, alone and batched, and what it refuses."""

import pytest
import torch
from cale_reference import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_entropy.cale import CALE, CaleConfig, GroupPooling, PoolingConfig
from espnet_entropy.cale.ragged import Ragged

K = 13
SMALL = {"width": 16, "layers": 2, "heads": 2, "ffn": 24, "dropout": 0.1}
VARIANTS = {
    "default": {},
    "window": {"token_update": "window", "window": 3},
    "none": {"token_update": "none"},
    "no_rope": {"rope": False},
    "paper_exact": {"paper_exact": True},
    "time": {"time": "start+duration"},
    "paper_exact_start": {"paper_exact": True, "time": "start"},
    "no_updates_duration": {"token_update": "none", "time": "start+duration"},
    "conv": {"token_update": "none", "conv": 5},
    "conv_window": {"token_update": "window", "window": 3, "conv": 3},
}
POOLINGS = ("max", "average", "attention")


def make(name: str, **changes: int) -> CALE | GroupPooling:
    """A small model in evaluation mode, every weight different from its neutral start."""
    torch.manual_seed(1)
    model: CALE | GroupPooling
    if name in POOLINGS:
        model = GroupPooling(PoolingConfig(name, width=16, heads=2, time="start+duration"), K)
    else:
        model = CALE(CaleConfig(**SMALL | VARIANTS[name] | changes), K)
    for weight in model.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return model.eval()


def batch(lengths: list[int], seed: int = 0, skip: bool = False) -> tuple[torch.Tensor, ...]:
    """Random units, groups of about 3 units, and nonsense where there is padding."""
    rng = torch.Generator().manual_seed(seed)
    B, N = len(lengths), max(lengths)
    units = torch.randint(0, K, (B, N), generator=rng)
    steps = (torch.rand(B, N, generator=rng) < 0.3).long()
    if skip:
        steps *= torch.randint(1, 4, (B, N), generator=rng)
    group_ids = steps.cumsum(1)
    if not skip:
        group_ids = group_ids - group_ids[:, :1]
    padding = torch.arange(N) >= torch.tensor(lengths)[:, None]
    units[padding] = -(10**6)
    group_ids[padding] = torch.randint(-(10**9), 10**9, (int(padding.sum()),), generator=rng)
    return units, group_ids, torch.tensor(lengths)


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("lengths", [[9], [40, 1, 23]], ids=["short", "longer than K"])
def test_outputs_and_gradients_equal_the_dense_reference(name, lengths):
    cale = make(name).double()
    units, group_ids, sizes = batch(lengths, skip=True)
    vectors, num_groups = cale(units, group_ids, sizes)
    torch.manual_seed(0)
    weight = torch.randn_like(vectors)
    loss = torch.zeros((), dtype=torch.float64)
    for b, n in enumerate(lengths):
        wanted = encode(cale, units[b, :n], group_ids[b, :n])
        assert num_groups[b] == len(wanted)
        torch.testing.assert_close(vectors[b, : len(wanted)], wanted, atol=1e-5, rtol=1e-5)
        assert not vectors[b, len(wanted) :].any()
        loss = loss + (wanted * weight[b, : len(wanted)]).sum()
    names, weights = zip(*cale.named_parameters(), strict=True)
    got = torch.autograd.grad((vectors * weight).sum(), weights)
    for key, x, y in zip(names, got, torch.autograd.grad(loss, weights), strict=True):
        torch.testing.assert_close(
            x,
            y,
            atol=1e-5 * float(y.abs().max()) + 1e-9,
            rtol=0,
            msg=lambda m, key=key: f"{key}: {m}",
        )


@pytest.mark.parametrize("name", [*VARIANTS, *POOLINGS])
def test_batched_equals_alone_and_padding_is_never_read(name):
    model = make(name)
    lengths = [1, 150, 2, 64, 65, 130]
    units, group_ids, sizes = batch(lengths)
    vectors, num_groups = model(units, group_ids, sizes)
    assert vectors.isfinite().all()
    for b, n in enumerate(lengths):
        alone, count = model(units[b : b + 1, :n], group_ids[b : b + 1, :n], sizes[b : b + 1])
        assert count[0] == num_groups[b] == group_ids[b, n - 1] + 1
        torch.testing.assert_close(vectors[b, : count[0]], alone[0], atol=1e-5, rtol=1e-5)
        assert not vectors[b, count[0] :].any()
    wider = [torch.nn.functional.pad(x, (0, 7), value=-5) for x in (units, group_ids)]
    assert torch.equal(model(*wider, sizes)[0], vectors)


def make_utterance(draw_groups: list[int], seed: int) -> tuple[torch.Tensor, ...]:
    groups = torch.arange(len(draw_groups)).repeat_interleave(torch.tensor(draw_groups))
    units = torch.randint(0, K, groups.shape, generator=torch.Generator().manual_seed(seed))
    return units, groups, torch.tensor([len(groups)])


sizes_of_groups = st.lists(st.integers(0, 9), min_size=1, max_size=15).filter(any)


@settings(max_examples=25, deadline=None)
@given(sizes_of_groups, sizes_of_groups, st.sampled_from([*VARIANTS, *POOLINGS]), st.integers(0, 9))
def test_any_pair_of_groupings(first, second, name, seed):
    model = make(name)
    utterances = [make_utterance(x, seed + i) for i, x in enumerate((first, second))]
    alone = [model(u[None], g[None], n)[0][0] for u, g, n in utterances]
    N = max(len(u) for u, _, _ in utterances)
    padded = [torch.stack([torch.nn.functional.pad(u[i], (0, N - len(u[i])), value=-1)
                           for u in utterances]) for i in (0, 1)]  # fmt: skip
    together, counts = model(*padded, torch.cat([n for _, _, n in utterances]))
    for b, wanted in enumerate(alone):
        assert counts[b] == len(wanted)
        torch.testing.assert_close(together[b, : counts[b]], wanted, atol=1e-5, rtol=1e-5)


def test_without_updates_a_vector_depends_on_its_group_alone():
    for name in ("none", "paper_exact", *POOLINGS[:2]):
        model = make(name)
        if model.time is not None:
            model.time = None
        units, groups = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[0, 0, 1, 1, 1]])
        vectors, _ = model(units, groups, torch.tensor([5]))
        other, _ = model(units.flip(1), groups.flip(1).max() - groups.flip(1), torch.tensor([5]))
        torch.testing.assert_close(vectors[0, [1, 0]], other[0], atol=1e-5, rtol=1e-5)


def test_order_is_seen_with_rope_and_only_with_it():
    units, groups, n = torch.tensor([[1, 2, 3]]), torch.tensor([[0, 0, 0]]), torch.tensor([3])
    for name, seen in (("default", True), ("window", True), ("no_rope", False), ("none", False)):
        cale = make(name)
        gap = (cale(units, groups, n)[0] - cale(units.flip(1), groups, n)[0]).abs().max()
        assert (gap > 1e-3) == seen, name


def test_a_window_sees_no_further_than_layers_times_window():
    cale = make("window")  # 2 layers of 3 units
    units, _, n = batch([100])
    groups = torch.arange(100)[None]
    other = units.clone()
    other[0, 50] = (units[0, 50] + 1) % K
    changed = (cale(units, groups, n)[0] != cale(other, groups, n)[0]).any(-1)[0].nonzero()[:, 0]
    assert changed.tolist() == list(range(44, 57))


def test_time_tells_equal_groups_apart_and_stays_bounded():
    model = make("max")
    units, groups = torch.full((1, 9000), 3), torch.arange(9000)[None] // 3
    vectors, _ = model(units, groups, torch.tensor([9000]))
    assert (vectors[0, 0] - vectors[0, 1]).abs().max() > 0.01
    assert vectors.abs().max() < 2 * vectors[0, :100].abs().max()
    longer, _ = model(units, groups * 0, torch.tensor([9000]))  # one group of 3 minutes
    assert longer.isfinite().all()


@pytest.mark.parametrize("name", ["default", "window", "paper_exact"])
def test_two_minutes_in_one_utterance(name):
    cale = make(name)
    units, groups, n = batch([6000])
    with torch.inference_mode():
        vectors, count = cale(units, groups, n)
    assert vectors.shape[1] == count[0] > 1500
    assert vectors.isfinite().all()


def test_training_repeats_itself_bit_for_bit():
    grads = []
    for _ in range(2):
        model = make("time").train()
        torch.manual_seed(3)
        vectors, _ = model(*batch([50, 31]))
        vectors.pow(2).sum().backward()
        grads.append([vectors, *(p.grad for p in model.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    torch.manual_seed(4)
    assert not torch.equal(model(*batch([50, 31]))[0], grads[0][0])  # dropout


@pytest.mark.parametrize("name", [*VARIANTS, *POOLINGS])
def test_autocast_stays_near(name):
    model, given_ = make(name), batch([30, 7])
    wanted, _ = model(*given_)
    with torch.autocast("cpu", torch.bfloat16):
        got, _ = model(*given_)
        got.float().pow(2).sum().backward()
    assert (got.float() - wanted).abs().mean() < 0.05 * wanted.abs().mean()
    assert all(p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        # embedding, 4 x (queries, keys, values, output), 4 x (qkv, out, 3 ffn), 17 norms
        (CaleConfig(), 500 * 256 + 4 * (4 + 4) * 256**2 + 4 * 3 * 256 * 704 + 17 * 512),
        (CaleConfig(token_update="none"), 500 * 256 + 16 * 256**2 + 9 * 512),
        (CaleConfig(paper_exact=True), 500 * 256 + 16 * 256**2 + 4 * 3 * 512),
        (PoolingConfig(), 500 * 256),
        (PoolingConfig("attention"), 500 * 256 + 2 * 256**2 + 256),
        (PoolingConfig(time="start+duration"), 500 * 256 + (32 + 7) * 256),
    ],
)
def test_number_of_weights(config, wanted):
    kind = CALE if isinstance(config, CaleConfig) else GroupPooling
    assert kind(config, 500).num_parameters() == wanted


def test_layout_of_a_batch():
    ragged = Ragged.of(torch.tensor([[0, 0, 2, 7], [1, 1, 1, 2]]), torch.tensor([3, 4]))
    assert ragged.sizes == (3, 4)
    assert ragged.index.tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert ragged.owner.tolist() == [0, 0, 2, 4, 4, 4, 5]
    assert ragged.offsets.tolist() == [0, 2, 2, 3, 3, 6, 7]
    assert ragged.position.tolist() == [0, 1, 2, 0, 1, 2, 3]
    assert ragged.places.tolist() == [0, 6, 2, 6, 4, 5]  # 6: empty
