"""Thresholds of exactly the rates that a sweep asks for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from espnet_entropy.segmenter.calibrate import CalibrationTable, calibrate_plan
from espnet_entropy.segmenter.config import CalibrationPlan, Default, load_plan
from espnet_entropy.segmenter.scored import read_scored
from espnet_entropy.utils.config import check_choice


def calibrate_rows(
    rates: Mapping[str, Sequence[float]], scored: Path, segmenter: Path, out: Path
) -> CalibrationTable:
    """Calibrate each criterion at its own rates.

    A criterion with groups of two units cannot make the rates that one without can, so that one
    list of rates for all criteria would not do.

    Args:
        rates: Hz, by label of the criterion.
        scored: dump of the valid set.
        segmenter: ``segmenter.yaml``, where the criteria are.
        out: ``calibration.yaml``.

    Raises:
        ValueError: for an unknown criterion or a rate that it cannot reach.
    """
    plan, valid = load_plan(segmenter), read_scored(scored)
    known = {config.label: config for config in plan.criteria}
    for label in rates:
        check_choice(label, known, "criterion", str(segmenter))
    tables = [
        calibrate_plan(
            valid, CalibrationPlan(Default(label, wanted[0]), [known[label]], list(wanted))
        )
        for label, wanted in rates.items()
    ]
    assert tables, rates
    table = dataclasses.replace(
        tables[0],
        entries=[entry for each in tables for entry in each.entries],
        curves={label: curve for each in tables for label, curve in each.curves.items()},
    )
    table.save(out)
    return table
