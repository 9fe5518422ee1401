"""``planned``, our own criterion: each group has a price, and starts are planned a little ahead.

A threshold asks "is this unit surprising enough?" and takes the first of several neighbours
that are. But surprise comes in bursts, one per phone boundary, so half of M1's groups at 15 Hz
are single units. Here a start at unit i is worth

    s_i = H_i + (H_{i-1} - H_{i+1}) / 4 + c·[u_i ≠ u_{i-1}]        (nats)

— its entropy, a quarter of how much entropy falls across it (a boundary is hard to foresee,
what follows it is easy), and a bonus where the unit changes — and costs the price λ, which is
the threshold that calibration finds. Among the units i … i + L, those starts are chosen that
maximize Σ (s - λ) with at least ``min_group`` units between them; unit i is picked if it
belongs to that plan. So of neighbours that are both surprising the better one wins. Whether i is
picked depends on nothing before i - 1 nor after i + L + 1: the look-ahead is L + 1 units.
With ``min_group`` 1 there is nothing to plan: the rule is s_i > λ, the look-ahead 1 unit.

The quarter and c = 1 nat are chosen on mini_synth valid (``tools/bench/choose_constants.py``: phone
R-value, ±20 ms, 15 Hz, 138 utterances; with ``center`` 100 in brackets). A share of 0, 1/4, 1/2
gives .572 .575 .571 (.569 .571 .566), c of 0.5, 1, 2 nats .573 .575 .580 (.569 .571 .573). All
differences to the values in use are within their 95 % noise (about ±.007) but one: c = 2 without
``center``, +.004 [.001, .008]; with it +.002 [-.001, .006], so c stays.
"""

from __future__ import annotations

from espnet_entropy.segmenter.arrays import Array, namespace
from espnet_entropy.segmenter.flat import Flat

FALL = 0.25
CHANGE_BONUS = 1.0  # nats


def planned_score(flat: Flat, change_bonus: float | None = None) -> Array:
    """What a start at each unit is worth.

    A neighbour that does not exist counts as the unit itself.

    Args:
        flat: utterances end to end.
        change_bonus: c, nats; ``None``: the default.

    Returns:
        (T,) float, nats.
    """
    xp = namespace(flat.entropy)
    bonus = CHANGE_BONUS if change_bonus is None else change_bonus
    entropy = flat.entropy
    rise = xp.where(flat.first, 0, entropy - flat.before(entropy))
    fall = xp.where(flat.last, 0, entropy - flat.after(entropy))
    score = entropy + FALL * (fall - rise)
    return xp.where(flat.changed, score + bonus, score)


def plan(gain: Array, flat: Flat, min_group: int, ahead: int) -> Array:
    """Units that belong to the best plan for themselves and the ``ahead`` units after them.

    ``worth[k]`` is, for each unit, the value of the best plan for the k units from it on:
    either the first of them is no start, or it is one and the next start is ``min_group``
    later.

    Args:
        gain: (T,) float: score minus price.
        flat: utterances end to end; no plan reaches into the next one.
        min_group: units between starts, at least 1.
        ahead: L, units.

    Returns:
        (T,) bool.
    """
    if min_group == 1:
        return gain > 0
    xp = namespace(gain)

    def later(values: Array, by: int) -> Array:
        for _ in range(by):
            values = flat.after(values)
        return values

    worth = [xp.zeros_like(gain)]
    for size in range(1, ahead + 1):
        start_here = gain + later(worth[max(0, size - min_group)], min_group)
        worth.append(xp.maximum(flat.after(worth[size - 1]), start_here))
    start_here = gain + later(worth[max(0, ahead + 1 - min_group)], min_group)
    return start_here > flat.after(worth[ahead])
