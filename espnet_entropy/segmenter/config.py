"""What the user says about groups: one criterion with its limits, or a plan of several."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from espnet_entropy.utils.config import check_choice, load_config, nearest
from espnet_entropy.utils.grid import UNIT_RATE

# What each criterion is steered by (found by calibration) and the further fields it reads.
KNOBS: dict[str, tuple[str, ...]] = {
    "global": ("threshold",),
    "relative": ("threshold_relative",),
    "combined": ("threshold", "threshold_relative"),
    "planned": ("threshold",),
    "original": (),
    "dedup": (),
    "fixed": (),
    "uniform": ("rate",),
    "random": ("rate",),
    "random_change": ("rate",),
}
FURTHER = {
    "global": ("center",),
    "combined": ("center",),
    "planned": ("center", "lookahead", "change_bonus"),
    "fixed": ("window",),
}
ENTROPY_CRITERIA = ("global", "relative", "combined", "planned")
DEFAULT_MIN_GROUP = {"planned": 2}  # units; without one there is nothing to plan
SCALES = ("nats", "bits", "relative")


@dataclass(frozen=True)
class SegmenterConfig:
    """A criterion, its threshold(s) and the limits of its groups.

    Attributes:
        criterion: by entropy: ``global`` (M1), ``relative`` (M2), ``combined`` (M3; paper
            section 3.2), ``planned`` (our own, ``espnet_entropy.segmenter.planned``);
            baselines: ``original`` (each unit a group), ``dedup`` (runs of one unit), ``fixed``
            (``window`` units), ``uniform``, ``random``, ``random_change`` (at ``rate``).
        threshold: θ of H(u_i), or the price of a group for ``planned``; ``None`` until
            calibrated.
        threshold_relative: θ_r of H(u_i) - H(u_{i-1}), for ``relative`` and ``combined``.
        scale: of the thresholds: ``nats``, ``bits``, or ``relative``: H / ln K, which needs
            ``num_clusters``.
        num_clusters: codebook size K.
        boundary: an unpredictable unit ``start`` s a group, or ``end`` s it (NOTES 2).
        min_group: smallest group, units; candidates that come earlier are dropped. ``None``:
            2 for ``planned``, 1 for the others.
        max_group: largest group, units; ``None`` for no limit.
        window: units in a group of ``fixed``.
        rate: Hz, of ``uniform`` and ``random``; for ``random_change`` the rate of draws, of
            which those that do not fall on a change of the unit are dropped.
        center: units whose mean entropy is subtracted from the level of the entropy, so that the
            rate holds for other speakers (``espnet_entropy.segmenter.center``); ``None``: none.
        lookahead: units that ``planned`` looks ahead when it chooses; ``None``: as many as
            ``min_group``. Only multiples of that reach the highest rates.
        change_bonus: nats that a change of the unit adds for ``planned``; ``None``: the default.

    Raises:
        ValueError: naming the field, what was expected and what to do.

    Example:
        >>> SegmenterConfig("global", threshold=2.5, scale="bits").in_nats().threshold
        1.7328679513998633
        >>> SegmenterConfig("combined", min_group=2, boundary="end").label
        'combined_end_min2'
    """

    criterion: str = "global"
    threshold: float | None = None
    threshold_relative: float | None = None
    scale: Literal["nats", "bits", "relative"] = "nats"
    num_clusters: int | None = None
    boundary: Literal["start", "end"] = "start"
    min_group: int | None = None
    max_group: int | None = None
    window: int | None = None
    rate: float | None = None
    center: int | None = None
    lookahead: int | None = None
    change_bonus: float | None = None

    def __post_init__(self) -> None:
        check_choice(self.criterion, KNOBS, "criterion")
        check_choice(self.boundary, ("start", "end"), "boundary")
        check_choice(self.scale, SCALES, "scale")
        self._check_fields()
        self._check_limits()
        if self.scale == "relative" and self.num_clusters is None:
            raise ValueError(
                "scale: 'relative' means H / ln K; give num_clusters (the codebook size K) too."
            )
        if self.num_clusters is not None and self.num_clusters < 2:
            raise ValueError(f"num_clusters: expected at least 2, got {self.num_clusters}.")
        if self.rate is not None and not 0 < self.rate <= UNIT_RATE:
            raise ValueError(
                f"rate: expected above 0 and at most {UNIT_RATE:g} Hz (the rate of the units), "
                f"got {self.rate}."
            )

    def _check_fields(self) -> None:
        """Refuse what the criterion would ignore in silence, and what is not a number."""
        used = KNOBS[self.criterion] + FURTHER.get(self.criterion, ())
        known = {name for names in (*KNOBS.values(), *FURTHER.values()) for name in names}
        for name in sorted(known):
            value = getattr(self, name)
            if value is not None and name not in used:
                uses = " and ".join(used) or "no value of its own"
                raise ValueError(
                    f"{name}: criterion '{self.criterion}' does not use it (it uses {uses}); "
                    "remove it."
                )
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, got {value}.")
        if self.boundary == "end" and self.criterion not in ENTROPY_CRITERIA:
            raise ValueError(
                f"boundary: 'end' has no meaning for criterion '{self.criterion}', which does not "
                "look at the entropy; remove it."
            )

    def _check_limits(self) -> None:
        for name in ("min_group", "max_group", "window"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: expected at least 1 unit, got {value}.")
        if self.max_group is not None and self.smallest_group > self.max_group:
            raise ValueError(
                f"min_group ({self.smallest_group}) is above max_group ({self.max_group}) units; "
                "lower min_group or raise max_group."
            )
        if self.criterion == "fixed" and self.window is None:
            raise ValueError(
                f"criterion 'fixed' needs window: units per group ({UNIT_RATE:g} / window Hz)."
            )
        if self.center is not None and self.center < 2:
            raise ValueError(
                f"center: expected at least 2 units (the mean of one is itself), got {self.center}."
            )
        if self.lookahead is not None and self.lookahead < 0:
            raise ValueError(f"lookahead: expected 0 or more units, got {self.lookahead}.")

    @property
    def label(self) -> str:
        """Name in tables: the criterion and whatever of its limits is not the default."""
        parts = [self.criterion]
        parts += ["end"] if self.boundary == "end" else []
        usual = DEFAULT_MIN_GROUP.get(self.criterion, 1)
        parts += [f"min{self.smallest_group}"] if self.smallest_group != usual else []
        parts += [f"max{self.max_group}"] if self.max_group is not None else []
        parts += [f"window{self.window}"] if self.window is not None else []
        parts += [f"center{self.center}"] if self.center is not None else []
        parts += [f"ahead{self.lookahead}"] if self.lookahead is not None else []
        parts += [f"change{self.change_bonus:g}"] if self.change_bonus is not None else []
        return "_".join(parts)

    @property
    def smallest_group(self) -> int:
        """``min_group``, or what it is where it was left open."""
        if self.min_group is not None:
            return self.min_group
        return DEFAULT_MIN_GROUP.get(self.criterion, 1)

    @property
    def planning_units(self) -> int:
        """L, the units after unit i that ``planned`` includes in its plan."""
        return self.smallest_group if self.lookahead is None else self.lookahead

    @property
    def knobs(self) -> tuple[str, ...]:
        """Names of the fields that calibration finds."""
        return KNOBS[self.criterion]

    def in_nats(self) -> SegmenterConfig:
        """The same with its thresholds in nats."""
        if self.scale == "nats":
            return self
        factor = nats_per(self.scale, self.num_clusters)
        return dataclasses.replace(
            self,
            scale="nats",
            threshold=None if self.threshold is None else self.threshold * factor,
            threshold_relative=None
            if self.threshold_relative is None
            else self.threshold_relative * factor,
        )

    def require_knobs(self) -> None:
        """Refuse to segment without a threshold.

        Raises:
            ValueError: saying how to get one.
        """
        for name in self.knobs:
            if getattr(self, name) is None:
                how = "Hz" if name == "rate" else "with its scale: nats, bits or relative"
                raise ValueError(
                    f"criterion '{self.criterion}' has no {name}: calibrate it to a rate (python "
                    f"-m espnet_entropy.bin.calibrate --help) or give {name} ({how})."
                )


def nats_per(scale: str, num_clusters: int | None) -> float:
    """Nats in one of ``scale``: ln 2 in a bit, ln K in ``relative``."""
    if scale == "nats":
        return 1.0
    if scale == "bits":
        return math.log(2)
    assert num_clusters is not None, scale
    return math.log(num_clusters)


@dataclass(frozen=True)
class Default:
    """The criterion (its label) and the rate (Hz) that a model directory starts with."""

    criterion: str
    rate: float


@dataclass(frozen=True)
class CalibrationPlan:
    """Content of ``conf/segmenter.yaml``: what to calibrate.

    Attributes:
        criteria: without thresholds; ``{criterion: global, min_group: 2}``, say.
        rates: targets, Hz.
        default: one of them.
    """

    default: Default
    criteria: list[SegmenterConfig] = field(default_factory=list)
    rates: list[float] = field(default_factory=lambda: [24.0, 15.0, 7.0])

    def __post_init__(self) -> None:
        if not self.criteria or not self.rates:
            raise ValueError("criteria and rates: expected at least one of each.")
        labels = [config.label for config in self.criteria]
        for config in self.criteria:
            given = [k for k in config.knobs if getattr(config, k) is not None]
            if given:
                raise ValueError(
                    f"criteria: {config.label}: {given[0]} is what calibration finds; remove it."
                )
            if labels.count(config.label) > 1:
                raise ValueError(f"criteria: {config.label} is listed twice; remove one.")
        for rate in self.rates:
            check_rate(rate)
        if self.default.criterion not in labels:
            raise ValueError(
                f"default: criterion '{self.default.criterion}' is none of criteria: "
                f"{', '.join(labels)}.{nearest(self.default.criterion, labels)}"
            )
        if self.default.rate not in self.rates:
            raise ValueError(
                f"default: rate {self.default.rate:g} is none of rates: "
                f"{', '.join(f'{rate:g}' for rate in self.rates)}; add it there."
            )


def check_rate(rate: float) -> float:
    """Return ``rate`` (Hz) if it can be one.

    Raises:
        ValueError: if it is not above 0 and at most the rate of the units.
    """
    if not 0 < rate <= UNIT_RATE:
        raise ValueError(
            f"rate: expected above 0 and at most {UNIT_RATE:g} Hz (the rate of the units), "
            f"got {rate:g}."
        )
    return rate


def load_plan(path: str | Path) -> CalibrationPlan:
    """Read ``conf/segmenter.yaml``.

    Raises:
        ValueError: naming the file and the key.
    """
    return load_config(CalibrationPlan, path)
