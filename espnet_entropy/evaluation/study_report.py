"""A study's report: for each factor, how much better or worse than one system the others are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation.asr_plots import MARKERS
from espnet_entropy.evaluation.compare import Options
from espnet_entropy.evaluation.plots import COLOURS, GREY, save_picture, subplots
from espnet_entropy.evaluation.record import provenance, write_score
from espnet_entropy.evaluation.sweep_results import compare_runs, find_runs, summarize
from espnet_entropy.evaluation.tables import interval, markdown, number
from espnet_entropy.launch.study_file import Factor, Level, Study, study_rows
from espnet_entropy.utils.files import atomic_write

TASK = "asr_study"
EXPLANATION = (
    "WER in percent, the mean over training seeds (one, where nothing is said), and the groups per "
    "second that came out; then the difference to '{against}' at the same level, in points, with "
    "its 95 % interval over utterances (or speakers) and seeds; a single seed does not cover "
    "other seeds. Negative is better than '{against}'. "
    "One factor changes at a time; all else is as in the base. Many comparisons are made: no "
    "correction is made for that."
)


@dataclass(frozen=True)
class Cell:
    """One system at one level on one test set.

    Attributes:
        factor: its name.
        level: its name.
        system: its name.
        test_set: its name.
        rate: groups per second.
        wer: mean over seeds, share.
        seeds: how many.
        difference: to the system that all are compared with: estimate, low, high, shares;
            ``None`` for that system itself, or where it was not run.
    """

    factor: str
    level: str
    system: str
    test_set: str
    rate: float | None
    wer: float | None
    seeds: int
    difference: Mapping[str, float] | None


def study_cells(study: Study, root: str | Path, options: Options | None = None) -> list[Cell]:
    """Everything that was run, in the study's order.

    Args:
        study: its file's content.
        root: ``exp/sweep/<study>``, of the sweep that the study became.
        options: of the comparisons.

    Raises:
        ValueError: if a result cannot be read.
    """
    sweep, places = study_rows(study)
    runs = {row.name: find_runs(Path(root), row, "epochs") for row in sweep.rows}
    found: dict[tuple[str, str, str], dict[str, Any] | None] = {}  # levels may share their rows
    cells = []
    for (factor, level, system), row in places.items():
        rival = places[factor, level, study.against]
        for test_set, mine in sorted(runs[row].items()):
            theirs = runs[rival].get(test_set)
            key = (row, rival, test_set)
            if key not in found and row != rival and theirs:
                names = (study.label(system), study.label(study.against))
                found[key] = compare_runs(mine, theirs, names, options)
            compared = found.get(key)
            summary = summarize(mine)
            cells.append(
                Cell(
                    factor,
                    level,
                    system,
                    test_set,
                    summary["achieved_rate"],
                    summary["wer"]["mean"],
                    len(mine),
                    compared["difference"] if compared else None,
                )
            )
    return cells


def write_study_report(
    study: Study, root: str | Path, out: str | Path, options: Options | None = None
) -> str:
    """Write ``results.json``, ``README.md`` and a picture for each factor and set.

    Args:
        study: its file's content.
        root: see :func:`study_cells`.
        out: directory of the report.
        options: of the comparisons.

    Returns:
        The tables, for the terminal.
    """
    out = Path(out)
    cells = study_cells(study, root, options)
    content = {"task": TASK, "title": study.title, "cells": [vars(cell) for cell in cells]}
    write_score(out / "results.json", {**content, **provenance()})
    page, short = [f"# {study.title}\n"], [study.title, ""]
    for test_set in sorted({cell.test_set for cell in cells}):
        page.append(f"## {test_set}\n")
        for factor in study.factors:
            mine = [c for c in cells if (c.factor, c.test_set) == (factor.name, test_set)]
            if len({c.level for c in mine}) < min(2, len(factor.levels)):
                continue  # nothing, or what it shares with other factors alone
            table = study_table(study, factor, mine)
            page += [f"### {factor.label or factor.name}\n", table]
            short += [f"{test_set}, {factor.label or factor.name}:", "", table]
            if any(cell.difference for cell in mine):
                name = f"{test_set}_{factor.name}.png"
                _plot(out / name, study, factor, mine)
                page.append(f"![Difference in WER]({name})\n")
    explanation = EXPLANATION.format(against=study.label(study.against))
    with atomic_write(out / "README.md") as stream:
        stream.write("\n".join([*page, explanation]) + "\n")
    done = len({(c.factor, c.level, c.system) for c in cells})
    total = len(study_rows(study)[1])
    short += [explanation, f"{done} of {total} cells run. {(out / 'README.md').resolve()}"]
    return "\n".join(short)


def study_table(study: Study, factor: Factor, cells: Sequence[Cell]) -> str:
    """A line for each level: the reference's WER, the others' differences to it.

    Args:
        study: for labels and the order of systems.
        factor: whose levels are the lines.
        cells: of this factor and one test set.
    """
    systems = [name for name in study.systems if any(c.system == name for c in cells)]
    others = [name for name in systems if name != study.against]
    header = [factor.label or factor.name, f"{study.label(study.against)}, WER % (Hz)"]
    header += [f"{study.label(name)}, WER % (Hz), difference" for name in others]
    lines = []
    for level in factor.levels:
        by_system = {cell.system: cell for cell in cells if cell.level == level.name}
        lines.append([level.shown, *(_cell(by_system.get(n)) for n in (study.against, *others))])
    return markdown(header, lines)


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "-"
    value = f"{number(cell.wer, 2, factor=100)} ({number(cell.rate, 1)})"
    if cell.seeds > 1:
        value += f", {cell.seeds} seeds"
    if cell.difference is None:
        return value
    return f"{value}, {interval(cell.difference, 2, sign=True, factor=100)}"


def _plot(path: Path, study: Study, factor: Factor, cells: Sequence[Cell]) -> None:
    """Difference in WER against the factor, a line for each system, as PNG."""
    figure, axis = subplots(1, 1, (7.5, 4.5))
    figure.set_layout_engine("constrained")
    at = {level.name: _position(i, level) for i, level in enumerate(factor.levels)}
    others = [n for n in study.systems if any(c.system == n and c.difference for c in cells)]
    single = len(factor.levels) == 1  # then systems are what differs
    for i, system in enumerate(others):
        mine = [c for c in cells if c.system == system and c.difference]
        x = [float(i)] if single else [at[cell.level] for cell in mine]
        values = [
            [100 * (c.difference or {})[k] for c in mine] for k in ("estimate", "low", "high")
        ]
        reach = [
            [v - low for v, low in zip(values[0], values[1], strict=True)],
            [high - v for v, high in zip(values[0], values[2], strict=True)],
        ]
        marker = MARKERS[i // len(COLOURS) % len(MARKERS)]
        look = {"color": COLOURS[i % len(COLOURS)], "marker": marker, "capsize": 2}
        axis.errorbar(x, values[0], yerr=reach, label=study.label(system), linewidth=1.2, **look)
    axis.axhline(0, color=GREY, linewidth=0.8)
    if single:
        axis.set_xticks(range(len(others)), map(study.label, others), rotation=30, ha="right")
    elif any(level.x is None for level in factor.levels):
        axis.set_xticks(list(at.values()), [level.shown for level in factor.levels])
    axis.set_xlabel(factor.label or factor.name)
    axis.set_ylabel(f"WER minus that of '{study.label(study.against)}' (points)")
    axis.set_title(f"{study.title}\n{cells[0].test_set}", fontsize=10)
    axis.grid(alpha=0.3)
    if not single:
        axis.legend(fontsize=8)
    save_picture(figure, path)


def _position(index: int, level: Level) -> float:
    return float(index) if level.x is None else level.x
