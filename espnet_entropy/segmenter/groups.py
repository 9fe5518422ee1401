"""Starts of groups: their limits, their numbers, their lengths.

Legend: B batch, N units, M groups, T units of several utterances end to end.
"""

from __future__ import annotations

import numpy as np

from espnet_entropy.segmenter.arrays import Array, namespace, positions


def group_ids(starts: Array) -> Array:
    """Number of the group that each unit belongs to.

    Args:
        starts: (..., N) bool, True where a group starts; the first is True.

    Returns:
        (..., N) int64, from 0.

    Example:
        >>> group_ids(np.array([True, False, True, True, False]))
        array([0, 0, 1, 2, 2])
    """
    return namespace(starts).cumsum(starts, -1) - 1


def group_lengths(starts: Array) -> Array:
    """Number of units in each group; they sum to N.

    Args:
        starts: (N,) bool of one utterance; the first is True.

    Returns:
        (M,) int64.

    Example:
        >>> group_lengths(np.array([True, False, True, True, False]))
        array([2, 1, 2])
    """
    xp = namespace(starts)
    first = xp.where(starts)[0]
    lengths = xp.zeros_like(first)
    lengths[:-1] = first[1:] - first[:-1]
    lengths[-1:] = starts.shape[0] - first[-1:]
    return lengths


def limit_groups(
    candidates: Array, first: Array, min_group: int = 1, max_group: int | None = None
) -> Array:
    """Choose starts among candidates, from left to right, so that groups keep their limits.

    Unit i starts a group if it is the first of its utterance, or if it is a candidate and the
    group that is open has at least ``min_group`` units by then, or if that group has
    ``max_group``. A candidate that comes too early is dropped, not put off; the last group of
    an utterance may be shorter than ``min_group``. Whether unit i starts a group depends on
    nothing after unit i.

    Args:
        candidates: (T,) bool.
        first: (T,) bool, True at the first unit of each utterance; its first is True.
        min_group: units, at least 1.
        max_group: units, at least ``min_group``; ``None`` for no limit.

    Returns:
        (T,) bool.

    Example:
        >>> candidates = np.array([0, 1, 0, 1, 0, 0, 0, 0, 1], bool)
        >>> first = np.arange(9) == 0
        >>> limit_groups(candidates, first, min_group=2).astype(int)
        array([1, 0, 0, 1, 0, 0, 0, 0, 1])
        >>> limit_groups(candidates, first, min_group=2, max_group=3).astype(int)
        array([1, 0, 0, 1, 0, 0, 1, 0, 1])
    """
    if min_group == 1 and max_group is None:
        return candidates | first
    if namespace(candidates) is not np and candidates.device.type != "cpu":
        return walk_by_doubling(next_start(candidates, first, min_group, max_group), first)
    starts = candidates & False
    starts[_walk(candidates, first, min_group, max_group)] = True
    return starts


def _walk(candidates: Array, first: Array, min_group: int, max_group: int | None) -> list[int]:
    """Indices of the starts: a loop over the candidates alone, which most units are not."""
    xp = namespace(candidates)
    index = xp.where(candidates | first)[0]
    longest = len(candidates) if max_group is None else max_group
    starts: list[int] = []
    last = 0
    for here, is_first in zip(index.tolist(), first[index].tolist(), strict=True):
        if here - last > longest:  # the open group fills up before this candidate
            starts.extend(range(last + longest, here, longest))
            last = starts[-1]
        if is_first or here - last >= min_group:
            starts.append(here)
            last = here
    starts.extend(range(last + longest, len(candidates), longest))
    return starts


def next_start(candidates: Array, first: Array, min_group: int, max_group: int | None) -> Array:
    """(T,) int64: where the next group would start if one started here; T where none does."""
    xp = namespace(candidates)
    index = positions(candidates)
    total = len(index)
    hops = _index_of_next(candidates, index, min_group)
    if max_group is not None:
        hops = xp.minimum(hops, xp.clip(index + max_group, None, total))
    return xp.minimum(hops, _index_of_next(first, index, 1))


def _index_of_next(marks: Array, index: Array, ahead: int) -> Array:
    """(T,) int64: the smallest j >= i + ``ahead`` with ``marks[j]``, T where there is none."""
    xp = namespace(marks)
    total = len(index)
    backwards = xp.flip(xp.where(marks, index, total), (0,))
    found = np.minimum.accumulate(backwards) if xp is np else xp.cummin(backwards, 0).values
    following = xp.full_like(index, total)
    if ahead < total:
        following[: total - ahead] = xp.flip(found, (0,))[ahead:]
    return following


def walk_by_doubling(hops: Array, first: Array) -> Array:
    """Follow ``hops`` in log2 T rounds instead of one step per group, for a GPU.

    After r rounds ``reached`` holds all that lies less than 2^r hops from the first unit of an
    utterance, and ``hops`` leads 2^r hops ahead.

    Args:
        hops: (T,) int64 tensor: where the next group would start if one started here.
        first: (T,) bool tensor.

    Returns:
        (T,) bool tensor.
    """
    import torch

    total = len(hops)
    hops = torch.cat([hops, hops.new_full((1,), total)])
    reached = torch.cat([first, first.new_zeros(1)]).to(torch.int8)
    for _ in range(total.bit_length()):
        reached = reached.scatter_reduce(0, hops, reached, "amax")
        hops = hops[hops]
    return reached[:-1].bool()
