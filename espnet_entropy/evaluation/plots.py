"""Pictures: one utterance, how long groups are, and how good boundaries are at each rate."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from espnet_entropy.evaluation.boundaries import SILENCES, Span
from espnet_entropy.evaluation.flux import HOP, WINDOW, log_mel
from espnet_entropy.segmenter.center import moving_mean
from espnet_entropy.segmenter.config import SegmenterConfig
from espnet_entropy.segmenter.flat import Flat
from espnet_entropy.segmenter.planned import planned_score
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.grid import SAMPLE_RATE, UNIT_RATE, boundary_time

DPI = 100
# Okabe and Ito's colours, which most colour-blind readers can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")
GREY = "#777777"
DASHES = ("--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
CRITERIA = {"global": "M1", "relative": "M2", "combined": "M3"}


class Speech(Protocol):
    """What a picture of an utterance needs: ``compressor.CompressedSpeech``, or the like."""

    @property
    def units(self) -> np.ndarray:
        """(N,) int."""

    @property
    def entropy(self) -> np.ndarray:
        """(N,) float32 nats."""

    @property
    def starts(self) -> np.ndarray:
        """(N,) bool."""

    @property
    def segmenter(self) -> SegmenterConfig:
        """What made the groups."""


def plot_utterance(
    path: str | Path,
    title: str,
    wav: np.ndarray,
    speech: Speech,
    words: Sequence[Span] = (),
    phones: Sequence[Span] = (),
    size: tuple[float, float] | None = None,
) -> None:
    """Spectrogram, reference, entropy, threshold and groups of one utterance as PNG.

    Args:
        path: the picture.
        title: name of the utterance.
        wav: (T,) float32, 16 kHz.
        speech: its entropy and groups.
        words: reference words, seconds; may be empty.
        phones: reference phones, seconds; may be empty.
        size: width and height in inches (100 pixels each); wide enough for the audio if ``None``.
    """
    seconds = len(wav) / SAMPLE_RATE
    tiers = [(name, tier) for name, tier in (("words", words), ("phones", phones)) if tier]
    heights = [2.2, *(0.3 for _ in tiers), 2.4, 0.45]
    if size is None:
        size = (float(np.clip(2.6 * seconds, 10, 40)), 5.4 + 0.35 * len(tiers))
    figure, axes = subplots(
        len(heights), 1, size, sharex=True, gridspec_kw={"height_ratios": heights, "hspace": 0.08}
    )
    edges = np.append(boundary_time(np.flatnonzero(speech.starts)), seconds)
    edges[0] = 0.0
    _draw_spectrogram(axes[0], wav, edges)
    for axis, (name, spans) in zip(axes[1:], tiers, strict=False):
        _draw_labels(axis, name, spans)
    _draw_entropy(axes[-2], speech, edges)
    _draw_groups(axes[-1], edges)
    axes[-1].set_xlim(0, seconds)
    axes[-1].set_xlabel("time (seconds)")
    count = len(edges) - 1
    figure.suptitle(
        f"{title}: {seconds:.1f} s, {len(speech.starts)} units in {count} groups "
        f"({count / seconds:.1f} per second, {_name(speech.segmenter)})",
        fontsize=11,
        y=0.99,
    )
    width, height = size
    figure.subplots_adjust(
        left=0.85 / width, right=1 - 0.15 / width, top=1 - 0.6 / height, bottom=0.5 / height
    )
    save_picture(figure, path)


def _name(config: SegmenterConfig) -> str:
    code = CRITERIA.get(config.criterion)
    return f"{code}, {config.label}" if code else config.label


def _draw_spectrogram(axis: Any, wav: np.ndarray, edges: np.ndarray) -> None:
    mel = log_mel(wav, 80)
    left = (WINDOW - HOP) / 2 / SAMPLE_RATE
    extent = (left, left + len(mel) * HOP / SAMPLE_RATE, 0, mel.shape[1])
    axis.imshow(mel.T, origin="lower", aspect="auto", cmap="magma", extent=extent)
    axis.vlines(edges[1:-1], 0, mel.shape[1], color="white", linewidth=0.7, alpha=0.75)
    hertz = np.array([250, 1000, 4000])
    top = np.log10(1 + SAMPLE_RATE / 2 / 700)
    axis.set_yticks(np.log10(1 + hertz / 700) / top * mel.shape[1], ["250", "1000", "4000"])
    axis.set_ylabel("frequency (Hz)")
    axis.set_title(
        "sound: brighter is louder; white lines are where groups begin", fontsize=9, loc="left"
    )


def _draw_labels(axis: Any, name: str, spans: Sequence[Span]) -> None:
    for span in spans:
        if span.label.lower() in SILENCES:
            continue
        axis.axvspan(span.start, span.end, facecolor="#E8EEF4", edgecolor="#5B7083", linewidth=0.8)
        middle = (span.start + span.end) / 2
        fits = span.end - span.start > 0.018 * len(span.label)
        axis.text(
            middle,
            0.5,
            span.label,
            ha="center",
            va="center",
            fontsize=8 if fits else 5.5,
            clip_on=True,
        )
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)


def _draw_entropy(axis: Any, speech: Speech, edges: np.ndarray) -> None:
    entropy = np.asarray(speech.entropy, dtype=np.float64)
    # unit i is drawn from its boundary to the next, so that a step up stands where a group begins
    times = boundary_time(np.arange(len(entropy) + 1))
    decision = decide(speech)
    curves = [entropy, *(c for c in (decision.worth, decision.limit) if c is not None)]
    top = 1.4 * max(1.0, *(float(curve.max()) for curve in curves))  # room for the legend
    bottom = min(0.0, *(float(curve.min()) for curve in curves))
    axis.vlines(
        edges[1:-1], bottom, top, color=GREY, linewidth=0.7, alpha=0.7, label="a group begins"
    )
    axis.stairs(entropy, times, color=COLOURS[0], linewidth=1.3, label="entropy of the next unit")
    if decision.worth is not None:
        label = "worth of a start: entropy, its fall, a new unit"
        axis.stairs(
            decision.worth, times, baseline=None, color=COLOURS[2], linewidth=0.9, label=label
        )
    if decision.limit is not None:
        axis.stairs(
            decision.limit,
            times,
            baseline=None,
            color=COLOURS[1],
            linestyle="--",
            linewidth=1.3,
            label=decision.rule,
        )
    for note in decision.notes:
        axis.plot([], [], " ", label=note)
    axis.set_ylim(bottom, top)
    axis.set_ylabel("entropy (nats)\nhigh: hard to predict", fontsize=9)
    axis.grid(axis="y", alpha=0.3)
    axis.legend(loc="upper right", fontsize=8, ncols=3, framealpha=0.9)


@dataclass(frozen=True)
class Decision:
    """What the picture of an utterance shows of how its groups were found.

    Attributes:
        worth: (N,) nats, what is compared with ``limit`` where it is not the entropy.
        limit: (N,) nats, above which a group may begin; ``None`` where no level decides.
        rule: ``limit`` in words.
        notes: what else is asked for.
    """

    worth: np.ndarray | None = None
    limit: np.ndarray | None = None
    rule: str = ""
    notes: tuple[str, ...] = ()


def decide(speech: Speech) -> Decision:
    """Curves and words that tell why groups begin where they do.

    With ``center`` the mean is added to the threshold instead of subtracted from the entropy,
    which is the same comparison and leaves the entropy as it is.
    """
    config = speech.segmenter.in_nats()
    entropy = np.asarray(speech.entropy, dtype=np.float64)
    flat = Flat(np.asarray(speech.units), entropy, np.arange(len(entropy)) == 0)
    worth, limit, rule = None, None, ""
    notes: list[str] = []
    if config.threshold is not None:
        rule = "price of a group" if config.criterion == "planned" else "threshold"
        rule += f" ({config.threshold:.2f} nats"
        limit = np.full(len(entropy), config.threshold)
        if config.center is not None:
            limit = limit + moving_mean(flat, config.center)
            rule += f" above the mean of the last {config.center} units"
        rule += ")"
    if config.criterion == "planned":
        worth = planned_score(flat, config.change_bonus)
        if config.smallest_group > 1:
            notes.append(f"of starts within {config.smallest_group} units the best is taken")
    if config.threshold_relative is not None:
        notes.append(f"entropy must rise by more than {config.threshold_relative:.2f} nats")
    if config.boundary == "end":
        notes.append("groups begin one unit later")
    return Decision(worth, limit, rule, tuple(notes))


def _draw_groups(axis: Any, edges: np.ndarray) -> None:
    for i, (start, end) in enumerate(itertools.pairwise(edges)):
        axis.axvspan(start, end, color=("#9CC3DE", "#E3EEF5")[i % 2], linewidth=0)
        units = max(1, round((end - start) * UNIT_RATE))
        if end - start > 0.03:
            axis.text((start + end) / 2, 0.5, str(units), ha="center", va="center", fontsize=7)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.set_ylabel("units in\ngroup", rotation=0, ha="right", va="center", fontsize=8)


def plot_group_lengths(
    path: str | Path,
    title: str,
    histograms: Mapping[str, Sequence[int]],
    size: tuple[float, float] | None = None,
    longest: int = 20,
) -> None:
    """One bar chart of group lengths for each method, as PNG.

    Args:
        path: the picture.
        title: set and rate.
        histograms: method to numbers of groups with 1, 2, … units.
        size: width and height in inches (100 pixels each).
        longest: lengths from here on share the last bar.

    Raises:
        ValueError: if there is no method.
    """
    if not histograms:
        raise ValueError(f"{path}: expected at least one method to draw, got none.")
    columns = min(4, len(histograms))
    rows = -(-len(histograms) // columns)
    size = size or (3.0 * columns + 0.6, 2.3 * rows + 0.9)
    figure, axes = subplots(rows, columns, size, sharex=True, sharey=True, squeeze=False)
    figure.set_layout_engine("constrained")
    for axis in axes.flat[len(histograms) :]:
        axis.set_visible(False)
    for axis, (name, counts) in zip(axes.flat, histograms.items(), strict=False):
        share = np.zeros(longest)
        numbers = np.asarray(counts, dtype=np.float64)
        share[: min(longest, len(numbers))] = numbers[:longest]
        share[-1] += numbers[longest:].sum()
        share *= 100 / max(1.0, numbers.sum())
        axis.bar(np.arange(1, longest + 1), share, color=COLOURS[0], width=0.85)
        axis.set_title(f"{name}\nsingle units {share[0]:.0f} %, longest {len(numbers)}", fontsize=8)
        axis.grid(axis="y", alpha=0.3)
        axis.set_xticks([1, 5, 10, 15, longest], ["1", "5", "10", "15", f"{longest}+"])
        axis.tick_params(labelsize=8, labelbottom=True)
    figure.supxlabel("units in a group (20 ms each)", fontsize=9)
    figure.supylabel("share of the groups (%)", fontsize=9)
    figure.suptitle(title, fontsize=11)
    save_picture(figure, path)


Curve = Sequence[tuple[float, float]]


def plot_rates(
    path: str | Path,
    title: str,
    methods: Mapping[str, Curve],
    chance: Mapping[str, Curve],
    reference_rate: float | None = None,
    size: tuple[float, float] = (9.0, 5.0),
) -> None:
    """R-value against rate: a line for each method, dashed lines for chance, as PNG.

    Args:
        path: the picture.
        title: set, tier and tolerance.
        methods: method to (rate in Hz, R-value) points.
        chance: baseline to points.
        reference_rate: boundaries per second of the reference; marked if given.
        size: width and height in inches (100 pixels each).
    """
    figure, axis = subplots(1, 1, size)
    figure.set_layout_engine("constrained")
    for i, (name, points) in enumerate(methods.items()):
        colour = COLOURS[i % len(COLOURS)]
        marker = "os^Dv"[i // len(COLOURS) % 5]
        axis.plot(*_sorted(points), color=colour, marker=marker, linewidth=1.8, label=name)
    for i, (name, points) in enumerate(chance.items()):
        axis.plot(
            *_sorted(points),
            color=GREY,
            linestyle=DASHES[i % 4],
            linewidth=1.3,
            label=f"chance: {name}",
        )
    if reference_rate is not None:
        axis.axvline(reference_rate, color="#BBBBBB", linewidth=1)
        axis.annotate(
            "rate of the reference",
            (reference_rate, 0.02),
            xycoords=("data", "axes fraction"),
            rotation=90,
            va="bottom",
            ha="right",
            fontsize=8,
            color=GREY,
        )
    axis.set_xlabel("groups per second (Hz)")
    axis.set_ylabel("R-value (1 is perfect)")
    axis.set_title(title, fontsize=11)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    save_picture(figure, path)


def _sorted(points: Curve) -> tuple[list[float], list[float]]:
    rates, values = zip(*sorted(points), strict=True)
    return list(rates), list(values)


def subplots(rows: int, columns: int, size: tuple[float, float], **options: Any) -> Any:
    """A figure without pyplot: nothing global, no display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI)
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, **options)


def save_picture(figure: Any, path: str | Path) -> None:
    """Write a figure as PNG, atomically; the same figure always gives the same bytes."""
    content = io.BytesIO()
    # without the date and version that would make every run's file another
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    with atomic_write(path, "wb") as stream:
        stream.write(content.getvalue())
