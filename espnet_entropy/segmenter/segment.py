"""Entropy to groups: the mask that is True where a group starts.

Legend: B batch, N units, T units of utterances end to end.
"""

from __future__ import annotations

import numpy as np

from espnet_entropy.segmenter.arrays import Array, namespace, shifted
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.criteria import Scores, fires, scores
from espnet_entropy.segmenter.draws import CONTEXT
from espnet_entropy.segmenter.flat import Flat
from espnet_entropy.segmenter.groups import limit_groups


def segment(
    units: Array, entropy: Array, config: SegmenterConfig, lengths: Array | None = None
) -> Array:
    """Mark the units that start a group.

    Everything is vectorized; torch tensors stay on their device. A row of a batch gets the
    mask that it would get alone.

    Args:
        units: (N,) or (B, N) int.
        entropy: the same shape, float, nats.
        config: criterion with its threshold(s) and limits.
        lengths: (B,) int, units of each row, for a padded batch; padding may hold anything.

    Returns:
        Bool of the shape of ``units``: True where a group starts. The first unit of an
        utterance always starts one; padding never does.

    Raises:
        ValueError: if shapes differ, an utterance is empty or a threshold is missing.

    Example:
        >>> units = np.array([7, 7, 3, 3, 9])
        >>> entropy = np.array([4.0, 0.1, 2.5, 0.3, 3.0], np.float32)
        >>> segment(units, entropy, SegmenterConfig("global", threshold=2.0)).astype(int)
        array([1, 0, 1, 0, 1])
        >>> segment(units, entropy, SegmenterConfig("global", threshold=2.0, boundary="end"))[:4]
        array([ True,  True, False,  True])
    """
    config = config.in_nats()
    config.require_knobs()
    units, entropy = _as_array(units), _as_array(entropy)
    shape = tuple(units.shape)
    if shape != tuple(entropy.shape) or len(shape) not in (1, 2) or 0 in shape:
        raise ValueError(
            f"units and entropy: expected the same shape, (N,) or (B, N) with N above 0, got "
            f"{shape} and {tuple(entropy.shape)}."
        )
    xp = namespace(units)
    index = xp.zeros_like(units) + _row(units)
    first = index == 0
    if lengths is not None:
        first = first | (index == lengths[:, None])  # padding is an utterance of its own
    flat = Flat(units.reshape(-1), entropy.reshape(-1), first.reshape(-1))
    starts = starts_of(scores(flat, config), flat, config).reshape(shape)
    return starts if lengths is None else starts & (index < lengths[:, None])


def _as_array(values: Array) -> Array:
    return np.asarray(values) if isinstance(values, list | tuple) else values


def _row(units: Array) -> Array:
    xp = namespace(units)
    if xp is np:
        return np.arange(units.shape[-1], dtype=np.int64)
    return xp.arange(units.shape[-1], device=units.device)


def starts_of(scored: Scores, flat: Flat, config: SegmenterConfig) -> Array:
    """Starts from scores: the rule, the convention, the limits.

    Args:
        scored: ``criteria.scores(flat, config)``.
        flat: utterances end to end.
        config: with its knobs set, in nats.

    Returns:
        (T,) bool.
    """
    candidates = fires(scored, flat, config)
    if config.boundary == "end":  # a unit that ends its group makes the next one start
        candidates = shifted(candidates, 1, False)
    return limit_groups(candidates, flat.first, config.smallest_group, config.max_group)


def lookahead(config: SegmenterConfig) -> int:
    """Units after unit i that must be known to decide whether i starts a group.

    0 for M1-M3 and the baselines. With ``boundary: end`` the decision about unit i is made on
    unit i - 1, so one unit less is needed.
    """
    return max(0, reach(config)[1] - (config.boundary == "end"))


def reach(config: SegmenterConfig) -> tuple[int, int]:
    """How many units before and after unit i its own score and rule read."""
    mean = (config.center or 1) - 1
    if config.criterion == "planned":
        ahead = 1 if config.smallest_group == 1 else config.planning_units + 1
        return max(1, mean), ahead
    if config.criterion in ("random", "random_change"):
        return CONTEXT, 0
    return (max(1, mean), 0) if config.criterion in ("relative", "combined", "dedup") else (mean, 0)
