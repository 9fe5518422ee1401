"""Calibrated thresholds of several criteria and rates: ``calibration.yaml``."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.segmenter.config import CalibrationPlan, SegmenterConfig, check_rate
from espnet_entropy.segmenter.scored import ScoredSet
from espnet_entropy.segmenter.search import (
    REACHABLE,
    Calibration,
    Search,
    calibrate,
    make_calibration,
)
from espnet_entropy.utils.config import check_choice, load_config, to_dict, write_yaml

__all__ = ["Calibration", "CalibrationTable", "Curve", "calibrate", "calibrate_plan"]

FORMAT = 1
CURVE_RATES = np.arange(4.0, 30.5, 0.5)  # Hz: what `compress --rate` may ask for afterwards
TIE_WARNING = 0.03  # share of the target


@dataclass(frozen=True)
class Curve:
    """Thresholds against rate, for rates that were not asked for when calibrating.

    Attributes:
        rates: achieved rates, rising, Hz.
        knobs: the criterion's thresholds (its knobs) at those rates.
    """

    rates: list[float]
    knobs: dict[str, list[float]]


@dataclass(frozen=True)
class CalibrationTable:
    """What was calibrated on one set for one tokenizer and entropy LM.

    Attributes:
        tokenizer: fingerprint.
        entropy_lm: fingerprint.
        num_clusters: codebook size K.
        calibrated_on: name of the set.
        utterances: number of utterances.
        seconds: of audio.
        entries: one per criterion and target rate.
        curves: by criterion label.
        format: version of the file.
    """

    tokenizer: str
    entropy_lm: str
    num_clusters: int
    calibrated_on: str
    utterances: int
    seconds: float
    entries: list[Calibration] = field(default_factory=list)
    curves: dict[str, Curve] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(
                f"format: this version reads {FORMAT}, got {self.format}; calibrate anew."
            )

    @property
    def criteria(self) -> list[str]:
        """Labels of the calibrated criteria, in the order of the plan."""
        return list(dict.fromkeys(entry.name for entry in self.entries))

    def find(self, criterion: str, rate: float) -> Calibration:
        """The entry of a criterion (its label) at a rate in Hz.

        For a rate that was not calibrated, thresholds are interpolated between the nearest two
        of the curve (half a hertz apart) and the entry says so. A criterion without a threshold
        makes one rate; asking for it within 1 % is enough.

        Raises:
            ValueError: for an unknown criterion, or a rate outside what was calibrated.
        """
        check_choice(criterion, self.criteria, "criterion", "calibration")
        check_rate(rate)
        mine = [entry for entry in self.entries if entry.name == criterion]
        for entry in mine:
            if abs(entry.target_rate - rate) < 1e-6:
                return entry
        if not mine[0].config.knobs:
            made = mine[0].achieved_rate
            if abs(rate - made) <= REACHABLE * made:
                return mine[0]
            raise ValueError(
                f"criterion '{criterion}' has no threshold: it makes {made:.2f} Hz, not {rate:g}; "
                "ask for that rate, or give none."
            )
        curve = self.curves.get(criterion)
        if curve is None or not curve.rates[0] <= rate <= curve.rates[-1]:
            known = ", ".join(f"{entry.target_rate:g}" for entry in mine)
            between = f" and {curve.rates[0]:.2f} to {curve.rates[-1]:.2f}" if curve else ""
            raise ValueError(
                f"criterion '{criterion}' is not calibrated for {rate:g} Hz; known: {known}"
                f"{between} Hz. Choose one of these, or calibrate for it: add it to rates in "
                "conf/segmenter.yaml."
            )
        knobs: dict[str, Any] = {
            name: float(np.interp(rate, curve.rates, values))
            for name, values in curve.knobs.items()
        }
        config = dataclasses.replace(mine[0].config, **knobs)
        return make_calibration(config, rate, rate, self.num_clusters, interpolated=True)

    def usual_rate(self, criterion: str, default: float) -> float:
        """``default``, or the one rate (Hz) that a criterion without a threshold makes.

        Raises:
            ValueError: for an unknown criterion.
        """
        check_choice(criterion, self.criteria, "criterion", "calibration")
        entry = next(entry for entry in self.entries if entry.name == criterion)
        return default if entry.config.knobs else entry.achieved_rate

    def lookup(self, criterion: str, rate: float) -> SegmenterConfig:
        """The configuration of :meth:`find`, ready for ``segment``."""
        return self.find(criterion, rate).config

    def check_made_for(self, scored: ScoredSet, where: str) -> None:
        """Refuse a set that another tokenizer or entropy LM scored.

        Args:
            scored: the set.
            where: its name for the message.

        Raises:
            ValueError: naming the part and both fingerprints.
        """
        for part in ("tokenizer", "entropy_lm"):
            found, expected = getattr(scored, part), getattr(self, part)
            if found != expected:
                raise ValueError(
                    f"{where}: scored with {part} {found}, but the calibration belongs to "
                    f"{expected}; score the set with the model that was calibrated."
                )

    def save(self, path: str | Path) -> None:
        """Write ``calibration.yaml`` atomically."""
        content = to_dict(self)
        for entry in content["entries"]:
            entry["config"] = {k: v for k, v in entry["config"].items() if v is not None}
        write_yaml(path, content)

    @classmethod
    def load(cls, path: str | Path) -> CalibrationTable:
        """Read ``calibration.yaml``.

        Raises:
            ValueError: naming the file and the key.
        """
        return load_config(cls, path)


def calibrate_plan(scored: ScoredSet, plan: CalibrationPlan) -> CalibrationTable:
    """Calibrate every criterion of ``plan`` at every rate, and the curves between.

    A criterion without a threshold gets one entry, at the rate it makes.

    Raises:
        ValueError: if a criterion cannot reach a rate, naming what it can reach.
    """
    entries: list[Calibration] = []
    curves: dict[str, Curve] = {}
    K = scored.num_clusters
    for config in plan.criteria:
        search = Search(list(scored.utterances.values()), scored.seconds, config)
        if not config.knobs:
            entries.append(search.at(search.rate(config), K))
            continue
        for rate in plan.rates:
            entry = search.at(rate, K)
            if abs(entry.achieved_rate - rate) > TIE_WARNING * rate:
                logging.warning(
                    "%s: nearest to %g Hz is %.2f Hz: many units share one score",
                    entry.name,
                    rate,
                    entry.achieved_rate,
                )
            entries.append(entry)
        curves[config.label] = _curve(search, config)
    return CalibrationTable(
        tokenizer=scored.tokenizer,
        entropy_lm=scored.entropy_lm,
        num_clusters=K,
        calibrated_on=scored.name,
        utterances=len(scored.utterances),
        seconds=scored.seconds,
        entries=entries,
        curves=curves,
    )


def _curve(search: Search, config: SegmenterConfig) -> Curve:
    low, high = search.limits()
    found: Mapping[float, SegmenterConfig] = {
        entry.achieved_rate: entry.config
        for entry in (search.at(float(rate)) for rate in CURVE_RATES if low <= rate <= high)
    }
    rates = sorted(found)
    knobs = {name: [float(getattr(found[r], name)) for r in rates] for name in config.knobs}
    return Curve(rates, knobs)
