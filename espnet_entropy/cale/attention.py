"""Segment attention: each group's query attends to that group's units and to nothing else.

T units and G groups end to end, H heads, d width of a head. Cost and memory grow with T,
whatever G is; no mask and no padding exist. Everything is made of row gathers and of sums over
runs of rows, each a loop over the run and never an atomic addition: two runs give the same bits
on a CPU, and should on CUDA (a test that runs where there is one).

Why these operations (one CPU thread, T = 2000, D = 256, ms): gathering the queries by
``index_select`` takes 0.06 (``q[owner]`` 0.25), products and sums 0.17
(``bmm`` 0.33), the weighted sum by ``embedding_bag`` 0.08, where ``index_add`` takes 0.17 with the
(T, D) product that it needs, a sparse matrix product 0.12 a head and ``segment_reduce`` 0.60; a
projection of the same units takes 2.8. ``index_add`` would also add in any order on CUDA.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.autograd.function import once_differentiable


def segment_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    owner: torch.Tensor,
    offsets: torch.Tensor,
) -> torch.Tensor:
    """Softmax attention of each group's query over that group's units (paper section 3.4).

    Args:
        query: (G, H, d) float, one query per group and head.
        key: (T, H, d), same dtype.
        value: (T, H, d), same dtype.
        owner: (T,) int64, group of each unit, not decreasing.
        offsets: (G + 1,) int64, where the units of each group begin; the last is T.

    Returns:
        (G, H, d): sums of values, weighted by softmax(query . key / sqrt(d)); zeros for a group
        without units. Differentiable once.

    Example:
        >>> q, x = torch.zeros(2, 1, 2), torch.tensor([[[1.0, 2]], [[3.0, 4]], [[5.0, 6]]])
        >>> segment_attention(q, x, x, torch.tensor([0, 0, 1]), torch.tensor([0, 2, 3]))[:, 0]
        tensor([[2., 3.],
                [5., 6.]])
    """
    out: torch.Tensor = _SegmentAttention.apply(query, key, value, owner, offsets)  # type: ignore[no-untyped-call]
    return out


class _SegmentAttention(torch.autograd.Function):
    """Saves the weights (T, H) alone beside its inputs and output; backward in closed form."""

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        owner: torch.Tensor,
        offsets: torch.Tensor,
    ) -> torch.Tensor:
        ctx.scale = query.shape[-1] ** -0.5
        # in place wherever a (T, H, d) tensor is our own: fresh memory costs as much as the sums
        scores = _sums(query.index_select(0, owner).mul_(key), ctx.scale)
        alpha = segment_softmax(scores, owner, offsets)
        out = _weighted_sum(value, alpha, offsets)
        ctx.save_for_backward(query, key, value, alpha, out, owner, offsets)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, alpha, out, owner, offsets = ctx.saved_tensors
        grad_value = grad.index_select(0, owner)  # (T, H, d), to be scaled below
        # The softmax's backward needs sum_i alpha_i dalpha_i over each group. It equals
        # <grad, out>: one product per group instead of another sum over units (FlashAttention).
        delta = _sums(grad * out).index_select(0, owner)
        grad_score = alpha * (_sums(grad_value * value) - delta) * ctx.scale  # (T, H)
        grad_value.mul_(alpha[..., None].to(grad.dtype))
        grad_query = _weighted_sum(key, grad_score, offsets)
        grad_key = query.index_select(0, owner).mul_(grad_score[..., None].to(query.dtype))
        return grad_query, grad_key, grad_value, None, None


def segment_softmax(
    scores: torch.Tensor, owner: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """Softmax of (T, H) scores within each group."""
    G, H = len(offsets) - 1, scores.shape[1]
    # maxima do not depend on the order in which they are taken: deterministic on CUDA too
    top = scores.new_zeros(G, H).scatter_reduce(
        0, owner[:, None].expand_as(scores), scores, "amax", include_self=False
    )
    powers = (scores - top.index_select(0, owner)).exp()
    total = segment_sum(powers, offsets)
    return powers / total.index_select(0, owner)


def segment_sum(values: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(T, X) -> (G, X): sums over each group; zeros where it is empty."""
    rows = torch.arange(len(values), device=values.device)
    return F.embedding_bag(rows, values, offsets, mode="sum", include_last_offset=True)


def segment_max(values: torch.Tensor, owner: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """(T, X) -> (G, X): maxima over each group; zeros where it is empty.

    Equal maxima share the gradient evenly, as in ``torch.amax``: a unit said twice is common.
    """
    out: torch.Tensor = _SegmentMax.apply(values, owner, offsets)  # type: ignore[no-untyped-call]
    return out


class _SegmentMax(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, values: torch.Tensor, owner: torch.Tensor, offsets: torch.Tensor
    ) -> torch.Tensor:
        G = len(offsets) - 1
        out = values.new_zeros(G, values.shape[1]).scatter_reduce(
            0, owner[:, None].expand_as(values), values, "amax", include_self=False
        )
        ctx.save_for_backward(values, out, owner, offsets)
        return out

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        values, out, owner, offsets = ctx.saved_tensors
        hits = (values == out.index_select(0, owner)).to(grad.dtype)
        share = grad / segment_sum(hits, offsets).clamp_min(1.0)  # 0 hits: an empty group
        return hits * share.index_select(0, owner), None, None


def _sums(products: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
    """(.., H, d) -> (.., H) in float32 at least: softmax is not for bf16."""
    dtype = torch.promote_types(products.dtype, torch.float32)
    return products.sum(-1, dtype=dtype) * scale


def _weighted_sum(
    values: torch.Tensor, weights: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """(T, H, d), (T, H) -> (G, H, d): weighted sums over each group, without a (T, H, d) product.

    A bag per head and group, all of head 0 first: row t * H + h of the flattened values is unit t
    of head h.
    """
    T, H, d = values.shape
    heads = torch.arange(H, device=values.device)[:, None]
    rows = heads + H * torch.arange(T, device=values.device)  # (H, T)
    begins = torch.cat([(offsets[:-1] + T * heads).flatten(), offsets.new_full((1,), H * T)])
    summed = F.embedding_bag(
        rows.flatten(),
        values.reshape(T * H, d),
        begins,
        mode="sum",
        per_sample_weights=weights.to(values.dtype).T.flatten(),
        include_last_offset=True,
    )
    # A copy even for one head: dynamo loses the gradient of a Function that returns a view
    # (torch 2.11; test_cale_compile.py holds it).
    return summed.view(H, -1, d).transpose(0, 1).clone(memory_format=torch.contiguous_format)
