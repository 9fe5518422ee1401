"""The few operations that numpy and torch spell differently, so that each rule is written once.

An ``Array`` is a ``numpy.ndarray`` or a ``torch.Tensor`` on any device; what goes in decides
what comes out. Torch is never imported for numpy's sake.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any


def namespace(array: Array) -> Any:
    """``numpy`` or ``torch``, whichever ``array`` belongs to."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    assert isinstance(array, torch.Tensor), type(array)
    return torch


def shifted(array: Array, by: int, fill: float | bool) -> Array:
    """``array`` (..., N) moved ``by`` places to the right (left if negative), edges ``fill``.

    Example:
        >>> shifted(np.array([1, 2, 3]), 1, 0), shifted(np.array([1, 2, 3]), -2, 9)
        (array([0, 1, 2]), array([3, 9, 9]))
    """
    moved = namespace(array).full_like(array, fill)
    if by >= array.shape[-1] or -by >= array.shape[-1]:
        return moved
    if by > 0:
        moved[..., by:] = array[..., :-by]
    elif by < 0:
        moved[..., :by] = array[..., -by:]
    else:
        moved[...] = array
    return moved


def positions(array: Array) -> Array:
    """0, 1, … N-1 (int64) along the last axis of ``array`` (..., N), as a vector (N,)."""
    xp = namespace(array)
    if xp is np:
        return np.arange(array.shape[-1])
    return xp.arange(array.shape[-1], device=array.device)


def float64(array: Array) -> Array:
    """``array`` in double precision."""
    return array.astype(np.float64) if namespace(array) is np else array.double()
