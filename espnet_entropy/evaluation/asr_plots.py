"""Pictures of recognition: how training went, and WER against rate."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation.plots import COLOURS, GREY, save_picture, subplots
from espnet_entropy.evaluation.train_log import Curves

MARKERS = "os^DvPX"
_TITLES = {"loss": "loss (nats per token)", "acc": "share of tokens predicted right"}
_SAME_RATE = 1.0  # Hz: nearer points of one criterion are variants, not a curve


def plot_training(path: str | Path, title: str, curves: Curves) -> None:
    """A panel for each metric, a line for each part, as PNG.

    Args:
        path: the picture.
        title: of the experiment.
        curves: metric to part to (epoch, value).

    Raises:
        ValueError: if there is nothing to draw.
    """
    if not curves:
        raise ValueError(f"{path}: expected at least one curve, got none.")
    figure, axes = subplots(1, len(curves), (1 + 4.2 * len(curves), 3.8), squeeze=False)
    figure.set_layout_engine("constrained")
    for axis, (metric, parts) in zip(axes[0], curves.items(), strict=True):
        for i, (part, points) in enumerate(parts.items()):
            known = [(epoch, value) for epoch, value in points if math.isfinite(value)]
            epochs, values = zip(*known, strict=True) if known else ((), ())
            axis.plot(epochs, values, color=COLOURS[i], marker=".", linewidth=1.6, label=part)
        axis.set_title(_TITLES.get(metric, metric), fontsize=10)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.suptitle(title, fontsize=11)
    save_picture(figure, path)


@dataclass(frozen=True)
class Point:
    """A system in the picture of WER against rate.

    Attributes:
        label: in the legend.
        criterion: points of one criterion share a colour, and a line if their rates differ.
        ours: rate (Hz), value, low, high (percent); ``None`` if not run or without a rate.
        paper: rate (Hz) and value (percent); ``None`` if the paper does not have it.
    """

    label: str
    criterion: str
    ours: tuple[float, float, float, float] | None
    paper: tuple[float, float] | None


def plot_error_rate(
    path: str | Path, title: str, points: Sequence[Point], metric: str = "WER"
) -> None:
    """Error rate against groups per second, the paper's figures as hollow markers, as PNG.

    Args:
        path: the picture.
        title: set and sweep.
        points: systems; those without a figure are left out.
        metric: name of the vertical axis.

    Raises:
        ValueError: if there is nothing to draw.
    """
    shown = [point for point in points if point.ours or point.paper]
    if not shown:
        raise ValueError(f"{path}: expected at least one system with a rate, got none.")
    figure, axis = subplots(1, 1, (9.5, max(5.0, 1.2 + 0.24 * len(shown))))
    figure.set_layout_engine("constrained")
    criteria = list(dict.fromkeys(point.criterion for point in shown))
    colours = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(criteria)}
    for which, style in (("ours", "-"), ("paper", ":")):
        for name, curve in _curves(shown, which):
            axis.plot(*zip(*curve, strict=True), color=colours[name], linestyle=style, zorder=1)
    count: Counter[str] = Counter()
    for point in shown:
        # the criteria beyond the colours begin with another marker
        first = criteria.index(point.criterion) // len(COLOURS)
        marker = MARKERS[(first + count[point.criterion]) % len(MARKERS)]
        count[point.criterion] += 1
        look = {"color": colours[point.criterion], "marker": marker}
        label: str | None = point.label
        if point.ours:
            rate, value, low, high = point.ours
            reach = [[max(0.0, value - low)], [max(0.0, high - value)]]
            axis.errorbar(
                rate,
                value,
                yerr=reach,
                linestyle="",
                elinewidth=0.8,
                capsize=2,
                label=label,
                **look,
            )
            label = None
        if point.paper:
            only = None if label is None else f"{label} (paper only)"
            axis.plot(
                *point.paper,
                linestyle="",
                markerfacecolor="none",
                markersize=8,
                label=only,
                zorder=2,
                **look,
            )
    axis.plot([], [], "o", color=GREY, markerfacecolor="none", label="hollow: the paper's figure")
    axis.set_xlabel("groups per second (Hz)")
    axis.set_ylabel(f"{metric} (%)")
    axis.set_xlim(left=0)
    axis.set_ylim(bottom=0)
    axis.set_title(title, fontsize=11)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    save_picture(figure, path)


def _curves(points: Sequence[Point], which: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """Points of one criterion, by rate, where these are different rates of one thing."""
    criteria: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        figure: Any = getattr(point, which)
        if figure:
            criteria.setdefault(point.criterion, []).append((figure[0], figure[1]))
    curves = [(name, sorted(curve)) for name, curve in criteria.items() if len(curve) > 1]
    return [
        (name, curve)
        for name, curve in curves
        if all(b[0] - a[0] > _SAME_RATE for a, b in itertools.pairwise(curve))
    ]
