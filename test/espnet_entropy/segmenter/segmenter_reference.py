"""Slow loops straight from the paper's equations and the docstrings; shares no code with them."""

import math
from itertools import pairwise


def picked(units, entropy, config):
    """Units that the criterion picks; entropies as Python floats."""
    N = len(units)
    name = config.criterion
    result = []
    for i in range(N):
        rise = entropy[i] - entropy[i - 1] if i else 0.0
        if name == "global":
            hit = level(entropy, config, i) > config.threshold
        elif name == "relative":
            hit = i > 0 and rise > config.threshold_relative
        elif name == "combined":
            above = level(entropy, config, i) > config.threshold
            hit = i > 0 and above and rise > config.threshold_relative
        elif name == "original":
            hit = True
        elif name == "dedup":
            hit = i == 0 or units[i] != units[i - 1]
        elif name == "fixed":
            hit = i % config.window == 0
        elif name == "uniform":
            hit = math.floor(i * config.rate / 50) > math.floor((i - 1) * config.rate / 50)
        elif name == "planned":
            hit = _in_best_plan(units, entropy, config, i)
        else:
            raise AssertionError(name)
        result.append(hit)
    return result


def recent_mean(entropy, config, i):
    """Mean of the last `center` entropies, the present one included; 0 without centering."""
    recent = entropy[max(0, i - config.center + 1) : i + 1] if config.center else [0.0]
    return sum(recent) / len(recent)


def level(entropy, config, i):
    return entropy[i] - recent_mean(entropy, config, i)


def planned_gain(units, entropy, config, i):
    """s_i - price, from the module docstring."""
    before = entropy[i - 1] if i else entropy[i]
    after = entropy[i + 1] if i + 1 < len(entropy) else entropy[i]
    bonus = 1.0 if config.change_bonus is None else config.change_bonus
    changed = i == 0 or units[i] != units[i - 1]
    worth = entropy[i] + (before - after) / 4 + bonus * changed
    return worth - recent_mean(entropy, config, i) - config.threshold


def _in_best_plan(units, entropy, config, i):
    """Enumerate every set of starts in the window; is the best one better with i than without?"""
    ahead = config.smallest_group if config.lookahead is None else config.lookahead
    window = range(i, min(len(units), i + ahead + 1))
    gain = {j: planned_gain(units, entropy, config, j) for j in window}
    best = {True: -math.inf, False: -math.inf}
    for subset in range(2 ** len(gain)):
        chosen = [j for k, j in enumerate(window) if subset >> k & 1]
        if any(b - a < config.smallest_group for a, b in pairwise(chosen)):
            continue
        value = sum(gain[j] for j in chosen)
        best[i in chosen] = max(best[i in chosen], value)
    return best[True] > best[False]


def starts(units, entropy, config):
    """The whole segmenter, one unit after the other."""
    hits = picked(units, entropy, config)
    if config.boundary == "end":
        hits = [False, *hits[:-1]]
    result = []
    length = 0
    for i, hit in enumerate(hits):
        full = config.max_group is not None and length == config.max_group
        begin = i == 0 or (hit and length >= config.smallest_group) or full
        length = 1 if begin else length + 1
        result.append(begin)
    return result
