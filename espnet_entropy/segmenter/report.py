"""Which rates calibrated thresholds make on other sets."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.segmenter.calibrate import CalibrationTable, calibrate_plan
from espnet_entropy.segmenter.config import load_plan
from espnet_entropy.segmenter.scored import ScoredSet, read_scored
from espnet_entropy.segmenter.search import Search
from espnet_entropy.utils.files import atomic_write


@dataclass(frozen=True)
class RateRow:
    """One criterion at one target on one set.

    Attributes:
        set: name of the set.
        criterion: its label.
        target_rate: Hz.
        achieved_rate: Hz, pooled groups over pooled seconds.
        deviation: achieved over target, minus one.
        seconds: of audio.
    """

    set: str
    criterion: str
    target_rate: float
    achieved_rate: float
    deviation: float
    seconds: float


def rate_rows(table: CalibrationTable, scored: ScoredSet) -> list[RateRow]:
    """Apply every entry of ``table`` to a set.

    Raises:
        ValueError: if the set was scored by another tokenizer or entropy LM.
    """
    table.check_made_for(scored, scored.name)
    rows = []
    utterances = list(scored.utterances.values())
    for name in table.criteria:
        entries = [entry for entry in table.entries if entry.name == name]
        search = Search(utterances, scored.seconds, entries[0].config)
        for entry in entries:
            rate = search.rate(entry.config)
            deviation = rate / entry.target_rate - 1
            rows.append(
                RateRow(scored.name, name, entry.target_rate, rate, deviation, scored.seconds)
            )
    return rows


def format_rates(rows: Iterable[RateRow]) -> str:
    """A table for people: criterion and target down, sets across, achieved Hz and deviation."""
    rows = list(rows)
    sets = list(dict.fromkeys(row.set for row in rows))
    lines = [f"{'criterion':<26}{'target Hz':>10}" + "".join(f"{name:>22}" for name in sets)]
    cells = {(row.criterion, row.target_rate, row.set): row for row in rows}
    for criterion, target in dict.fromkeys((row.criterion, row.target_rate) for row in rows):
        line = f"{criterion:<26}{target:>10.2f}"
        for name in sets:
            row = cells[criterion, target, name]
            line += f"{row.achieved_rate:>13.2f} ({row.deviation:+6.1%})"
        lines.append(line)
    return "\n".join(lines)


def run_calibration(
    scored: Path,
    config: Path,
    out: Path,
    report: Sequence[Path] = (),
    rates: Sequence[float] | None = None,
) -> str:
    """Calibrate on one scored dump and report on others (``bin/calibrate.py``).

    Args:
        scored: dump to calibrate on.
        config: ``conf/segmenter.yaml``.
        out: ``calibration.yaml``; ``rates.json`` and ``rates.txt`` go beside it.
        report: dumps to report on; the one calibrated on is reported in any case.
        rates: targets in Hz instead of those of the configuration.

    Returns:
        The table of achieved rates.
    """
    plan = load_plan(config)
    if rates:
        default = dataclasses.replace(plan.default, rate=min(rates, key=_from(plan.default.rate)))
        plan = dataclasses.replace(plan, rates=list(rates), default=default)
    valid = read_scored(scored)
    table = calibrate_plan(valid, plan)
    rows = rate_rows(table, valid)
    for path in report:
        if path.resolve() != scored.resolve():
            rows += rate_rows(table, read_scored(path))
    text = format_rates(rows)
    with atomic_write(out.parent / "rates.json") as stream:
        json.dump([dataclasses.asdict(row) for row in rows], stream, indent=1)
    with atomic_write(out.parent / "rates.txt") as stream:
        stream.write(text + "\n")
    table.save(out)  # last: its presence says that the rest is there
    return text


def _from(rate: float) -> Callable[[float], float]:
    return lambda other: abs(other - rate)
