"""The segmentations that are compared: every calibrated criterion, in both conventions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from espnet_entropy.evaluation.evaluate import System
from espnet_entropy.evaluation.reference import Reference
from espnet_entropy.segmenter.config import ENTROPY_CRITERIA, SegmenterConfig
from espnet_entropy.segmenter.segment import segment
from espnet_entropy.utils.config import to_dict

PAPER_CRITERIA = ("global", "relative", "combined")  # M1, M2, M3 (section 3.2, equations 2-4)
# what chance.py measures already, with exactly the number of boundaries of each system
_CHANCE = ("uniform", "random", "random_change")

Calibrated = tuple[SegmenterConfig, float | None]  # with its target rate in Hz


def build_systems(calibrated: Iterable[Calibrated], reference: Reference) -> list[System]:
    """Segment the set with every configuration, and with the other convention of each.

    ``original`` and ``dedup`` are always among them. A criterion by entropy keeps its threshold
    when its convention is turned: the same units exceed it.

    Args:
        calibrated: configurations with their thresholds and target rates.
        reference: the set.
    """
    wanted: dict[tuple[str, float | None], SegmenterConfig] = {}
    for config, rate in calibrated:
        if config.criterion not in _CHANCE:
            wanted.setdefault((config.label, rate if config.knobs else None), config)
    for name in ("original", "dedup"):
        config = SegmenterConfig(name)
        wanted.setdefault((config.label, None), config)
    turned = {
        (other.label, rate): other
        for (_, rate), config in wanted.items()
        if config.criterion in ENTROPY_CRITERIA
        for other in [_turn(config)]
    }
    systems = [_system(config, rate, reference) for (_, rate), config in wanted.items()]
    systems += [
        dataclasses.replace(_system(config, key[1], reference), with_chance=False)
        for key, config in turned.items()
        if key not in wanted
    ]
    return sorted(systems, key=_order)


def _turn(config: SegmenterConfig) -> SegmenterConfig:
    return dataclasses.replace(config, boundary="end" if config.boundary == "start" else "start")


def _order(system: System) -> tuple[float, str]:
    """By rate, those without one last; otherwise as given, ``start`` first."""
    return -(system.target_rate or 0.0), {"start": "0", "end": "1"}.get(system.boundary, "2")


def _system(config: SegmenterConfig, rate: float | None, reference: Reference) -> System:
    has_convention = config.criterion in ENTROPY_CRITERIA
    limited = config.smallest_group > 1 or config.max_group is not None or config.center is not None
    return System(
        name=dataclasses.replace(config, boundary="start").label,
        criterion=config.criterion,
        boundary=config.boundary if has_convention else "",
        target_rate=rate,
        settings=to_dict(config),
        masks=[
            segment(units, entropy, config)
            for units, entropy in zip(reference.units, reference.entropy, strict=True)
        ],
        is_paper=config.criterion in PAPER_CRITERIA and not limited,
        with_chance=config.criterion != "original",  # which leaves nothing to chance
    )
