"""Where a group may start: by entropy (the paper's M1-M3) and the baselines.

Each criterion is a pair: scores that do not depend on a threshold, and a rule that compares
them with it. Calibration computes the scores once. Legend: T units of utterances end to end.
"""

from __future__ import annotations

from espnet_entropy.segmenter.arrays import Array, float64, namespace
from espnet_entropy.segmenter.center import moving_mean
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.draws import uniform_draws
from espnet_entropy.segmenter.flat import Flat
from espnet_entropy.segmenter.planned import plan, planned_score
from espnet_entropy.utils.grid import UNIT_RATE

Scores = tuple[Array, ...]


def scores(flat: Flat, config: SegmenterConfig) -> Scores:
    """One (T,) float array per knob of the criterion, in the knob's unit (nats or Hz).

    ``global``: H(u_i), or its excess over the recent mean (``center``). ``relative``:
    H(u_i) - H(u_{i-1}), 0 for a first unit (which starts a group anyway). ``combined``: both.
    ``planned``: see :mod:`espnet_entropy.segmenter.planned`. ``random``: a draw from 0 … 50 Hz;
    ``random_change``: the same, 50 Hz where the unit does not change. ``uniform``: the index of
    the unit.
    """
    name = config.criterion
    if name == "global":
        return (_above_mean(flat.entropy, flat, config),)
    if name == "relative":
        return (_rise(flat),)
    if name == "combined":
        return _above_mean(flat.entropy, flat, config), _rise(flat)
    if name == "planned":
        return (_above_mean(planned_score(flat, config.change_bonus), flat, config),)
    if name == "uniform":
        return (float64(flat.position),)
    if name == "random":
        return (uniform_draws(flat) * UNIT_RATE,)
    if name == "random_change":
        xp = namespace(flat.first)
        return (xp.where(flat.changed, uniform_draws(flat), 1.0) * UNIT_RATE,)
    return ()


def _above_mean(score: Array, flat: Flat, config: SegmenterConfig) -> Array:
    return score if config.center is None else score - moving_mean(flat, config.center)


def _rise(flat: Flat) -> Array:
    return namespace(flat.entropy).where(flat.first, 0, flat.entropy - flat.before(flat.entropy))


def fires(scored: Scores, flat: Flat, config: SegmenterConfig) -> Array:
    """Units that the criterion picks, before ``boundary`` and the limits of groups.

    Args:
        scored: of :func:`scores`.
        flat: what was scored.
        config: with its knobs set, in nats.

    Returns:
        (T,) bool.
    """
    name = config.criterion
    if name == "original":
        return flat.first | True
    if name == "dedup":
        return flat.changed
    if name == "fixed":
        return flat.position % config.window == 0
    knobs = [getattr(config, knob) for knob in config.knobs]
    if name == "uniform":
        return _crosses(scored[0], knobs[0])
    if name in ("random", "random_change"):
        return scored[0] < knobs[0]
    if name == "planned":
        return plan(scored[0] - knobs[0], flat, config.smallest_group, config.planning_units)
    picked = scored[0] > knobs[0]
    for score, threshold in zip(scored[1:], knobs[1:], strict=True):
        picked = picked & (score > threshold)
    return picked


def _crosses(index: Array, rate: float) -> Array:
    """True where index · rate / 50 Hz passes a whole number: starts spaced 50 / rate on average."""
    step = rate / UNIT_RATE
    xp = namespace(index)
    return xp.floor(index * step) > xp.floor((index - 1) * step)
