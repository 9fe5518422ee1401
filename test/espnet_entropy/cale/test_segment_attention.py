"""Segment attention and maxima against closed forms, finite differences and random groupings."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet_entropy.cale.attention import segment_attention, segment_max, segment_sum

lengths_of_groups = st.lists(st.integers(0, 7), min_size=1, max_size=12).filter(any)


def layout(sizes: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """owner (T,) and offsets (G + 1,) of groups of the given sizes, zero included."""
    counts = torch.tensor(sizes)
    owner = torch.arange(len(sizes)).repeat_interleave(counts)
    return owner, torch.cat([torch.zeros(1, dtype=torch.long), counts.cumsum(0)])


def tensors(G: int, T: int, H: int = 2, d: int = 3, **kwargs) -> list[torch.Tensor]:
    torch.manual_seed(G * 100 + T)
    return [torch.randn(n, H, d, **kwargs) for n in (G, T, T)]


def dense(query, key, value, owner):
    """A (G, T) mask and an ordinary softmax."""
    scores = torch.einsum("ghd,thd->hgt", query, key) / math.sqrt(query.shape[-1])
    foreign = torch.arange(len(query))[:, None] != owner
    weights = scores.masked_fill(foreign, -math.inf).softmax(-1).nan_to_num(0.0)
    return torch.einsum("hgt,thd->ghd", weights, value)


@settings(max_examples=60, deadline=None)
@given(lengths_of_groups, st.sampled_from([(1, 4), (2, 3), (4, 1)]))
def test_any_grouping_equals_the_dense_mask_with_its_gradients(sizes, shape):
    owner, offsets = layout(sizes)
    inputs = tensors(len(sizes), len(owner), *shape, dtype=torch.float64, requires_grad=True)
    wanted, got = dense(*inputs, owner), segment_attention(*inputs, owner, offsets)
    torch.testing.assert_close(got, wanted)
    weight = torch.randn_like(got)
    torch.testing.assert_close(
        torch.autograd.grad((got * weight).sum(), inputs),
        torch.autograd.grad((wanted * weight).sum(), inputs),
    )


def test_gradcheck():
    owner, offsets = layout([1, 4, 0, 2, 3])
    inputs = tensors(5, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: segment_attention(*x, owner, offsets), inputs)
    values = torch.randn(10, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: segment_max(x, owner, offsets), [values])


def test_a_second_derivative_is_refused_rather_than_wrong():
    owner, offsets = layout([2, 1])
    q, k, v = tensors(2, 3, requires_grad=True)
    (grad,) = torch.autograd.grad(
        segment_attention(q, k, v, owner, offsets).pow(2).sum(), q, create_graph=True
    )
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_a_group_of_one_copies_its_value_and_an_empty_one_is_zero():
    owner, offsets = layout([0, 1, 2, 0])
    q, k, v = tensors(4, 3)
    out = segment_attention(q, k, v, owner, offsets)
    torch.testing.assert_close(out[1], v[0])
    assert not out[[0, 3]].any()


def test_scores_of_any_size_are_harmless():
    owner, offsets = layout([2, 3])
    q, k, v = tensors(2, 5)
    out = segment_attention(1e4 * q, 1e4 * k, v, owner, offsets)
    best = torch.einsum("thd,thd->th", q[owner], k)
    for g, members in ((0, slice(0, 2)), (1, slice(2, 5))):
        top = best[members].argmax(0)
        for head in range(2):
            torch.testing.assert_close(out[g, head], v[members][top[head], head])


@given(lengths_of_groups)
@settings(max_examples=40, deadline=None)
def test_maxima_and_sums(sizes):
    owner, offsets = layout(sizes)
    torch.manual_seed(len(owner))
    values = torch.randint(-3, 3, (len(owner), 4)).double().requires_grad_()  # ties are common
    parts = values.split(sizes)
    wanted = torch.stack([x.amax(0) if len(x) else x.new_zeros(4) for x in parts])
    got = segment_max(values, owner, offsets)
    assert torch.equal(got, wanted)
    assert torch.equal(
        segment_sum(values.detach(), offsets), torch.stack([x.sum(0) for x in parts]).detach()
    )
    weight = torch.randn_like(got)
    torch.testing.assert_close(
        torch.autograd.grad((got * weight).sum(), values),
        torch.autograd.grad((wanted * weight).sum(), values),
    )


def test_bf16_keeps_its_dtype_and_sums_in_float32():
    owner, offsets = layout([30, 1, 200])
    q, k, v = tensors(3, 231, 2, 16)
    wanted = segment_attention(q, k, v, owner, offsets)
    half = [x.bfloat16().requires_grad_() for x in (q, k, v)]
    got = segment_attention(*half, owner, offsets)
    assert got.dtype == torch.bfloat16
    assert (got.float() - wanted).abs().max() < 0.03
    got.sum().backward()
    assert all(x.grad.dtype == torch.bfloat16 and x.grad.isfinite().all() for x in half)


def test_memory_is_linear():
    """What is kept for the backward pass: inputs, output, one weight per unit and head."""
    owner, offsets = layout([3] * 400)
    q, k, v = tensors(400, 1200, 4, 8, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()), lambda x: x):
        segment_attention(q, k, v, owner, offsets)
    assert sum(saved) == 2 * q.numel() + 2 * k.numel() + 1200 * 4 + 1200 + 401


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cuda_agrees_and_repeats_itself(dtype):
    owner, offsets = layout([1, 40, 0, 3, 500, 2] * 20)
    inputs = tensors(120, len(owner), 4, 32)
    cpu = [x.clone().requires_grad_() for x in inputs]
    wanted = segment_attention(*cpu, owner, offsets)
    wanted.pow(2).sum().backward()
    runs = []
    for _ in range(2):
        gpu = [x.detach().to("cuda", dtype).requires_grad_() for x in inputs]
        out = segment_attention(*gpu, owner.cuda(), offsets.cuda())
        out.float().pow(2).sum().backward()
        runs.append([out.detach(), *(x.grad for x in gpu)])
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    for first, again, x in zip(*runs, [wanted.detach(), *(x.grad for x in cpu)], strict=True):
        assert torch.equal(first, again)
        torch.testing.assert_close(first.float().cpu(), x, atol=tolerance, rtol=tolerance)
