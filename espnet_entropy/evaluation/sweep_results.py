"""What the rows of a sweep reached, over their seeds, as plain values.

Rows and the paper's figures come from the sweep file (``launch.sweep_file``), results from
``exp/sweep/<name>/<row>[_flops]/seed<k>/decode/<set>/score.json`` and nothing else.
"""

from __future__ import annotations

import json
import logging
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation.asr_report import find_scores
from espnet_entropy.evaluation.compare import Options, compare
from espnet_entropy.evaluation.per_utt import FILE
from espnet_entropy.launch.sweep_file import BUDGETS, Sweep, SweepRow, experiment_dir
from espnet_entropy.utils.grid import UNIT_RATE

TASK = "asr_sweep"
METRICS = ("wer", "cer")
PARTS = ("in_train", "new")
_KEPT = ("steps", "epochs", "flops", "flops_over_reference")  # of budget.json


def sweep_results(sweep: Sweep, root: str | Path, options: Options | None = None) -> dict[str, Any]:
    """Collect, summarize and compare.

    Args:
        sweep: its file's content.
        root: ``exp/sweep/<name>``.
        options: of the comparisons with the sweep's reference row.

    Returns:
        ``budgets``: by name, a list of rows in the file's order. A row that was not run has no
        ``sets``. Error rates are shares, the paper's figures percent.

    Raises:
        ValueError: if a result cannot be read.
    """
    budgets: dict[str, Any] = {}
    for budget in BUDGETS:
        found = {row.name: find_runs(Path(root), row, budget) for row in sweep.rows}
        if any(found.values()) or budget == BUDGETS[0]:
            rows = [_row(sweep, row, found, Path(root), budget, options) for row in sweep.rows]
            budgets[budget] = rows
    return {
        "task": TASK,
        "title": sweep.title,
        "paper_table": sweep.paper_table,
        "reference": sweep.reference_row.name,
        "note": sweep.note,
        "budgets": budgets,
    }


Runs = dict[str, list[tuple[Path, dict[str, Any]]]]  # by test set: score.json and its content


def find_runs(root: Path, row: SweepRow, budget: str) -> Runs:
    """Scores of a row by test set, in the order of their seeds."""
    runs: Runs = {}
    seeds = [p for p in experiment_dir(root, row.name, budget).glob("seed*") if p.is_dir()]
    for experiment in sorted(seeds, key=lambda path: (len(path.name), path.name)):
        for path, score in find_scores(experiment):
            runs.setdefault(score["test_set"], []).append((path, score))
    return runs


def _row(
    sweep: Sweep,
    row: SweepRow,
    found: dict[str, Runs],
    root: Path,
    budget: str,
    options: Options | None,
) -> dict[str, Any]:
    sets = {name: summarize(runs) for name, runs in sorted(found[row.name].items())}
    reference = sweep.reference_row
    for name in sets if row.name != reference.name else ():
        rivals = found[reference.name].get(name)
        if rivals:
            names = (row.shown, reference.shown)
            result = compare_runs(found[row.name][name], rivals, names, options)
            sets[name]["against_reference"] = result
    return {
        "name": row.name,
        "label": row.shown,
        "criterion": criterion(row),
        "nominal_rate": nominal_rate(row),
        "paper": row.paper,
        "training": _training(experiment_dir(root, row.name, budget) / "budget.json"),
        "sets": sets,
    }


def summarize(runs: Sequence[tuple[Path, dict[str, Any]]]) -> dict[str, Any]:
    """Mean and spread over seeds; of a single run the bootstrap interval over utterances."""
    scores = [score for _, score in runs]
    summary: dict[str, Any] = {
        "runs": [str(path.parent) for path, _ in runs],
        "seeds": [score["seed"] for score in scores],
        "utterances": scores[0]["utterances"],
        "achieved_rate": _mean([score["achieved_rate"] for score in scores]),
        "target_rate": scores[0]["target_rate"],
        "parameters": scores[0]["parameters"],
        "truncated": _mean([score["truncated"] for score in scores]),
        "missing": sum(len(score["missing"]) for score in scores),
    }
    for metric in METRICS:
        summary[metric] = _metric([score[metric] for score in scores])
    for part in PARTS:
        figures = [score.get("parts", {}).get(part) for score in scores]
        if all(figures) and figures[0]["utterances"]:
            summary[part] = {
                "utterances": figures[0]["utterances"],
                **{metric: _metric([f[metric] for f in figures]) for metric in METRICS},
            }
    return summary


def _metric(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    values = [figure["estimate"] for figure in figures if figure["estimate"] is not None]
    single = len(figures) == 1
    return {
        "mean": _mean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "values": values,
        "low": figures[0]["low"] if single else None,
        "high": figures[0]["high"] if single else None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def compare_runs(
    runs: Sequence[tuple[Path, dict[str, Any]]],
    rivals: Sequence[tuple[Path, dict[str, Any]]],
    names: tuple[str, str],
    options: Options | None,
) -> dict[str, Any] | None:
    """Comparison with the reference row; ``None``, and a warning, where it cannot be made."""
    directories = [[path.parent for path, _ in side] for side in (runs, rivals)]
    try:
        for directory in (d for side in directories for d in side):
            if not (directory / FILE).is_file():
                raise ValueError(f"{directory}/{FILE}: missing; score again.")
        return compare(directories[0], directories[1], options, names)
    except ValueError as error:
        logging.warning("%s is not compared with %s: %s", *names, error)
        return None


def _training(path: Path) -> dict[str, Any]:
    """How long a row trained, of the sweep's ``budget.json``; nothing where there is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {key: content[key] for key in _KEPT if key in content}


def criterion(row: SweepRow) -> str:
    """What makes the groups, as the row's training says; ``""`` where it leaves it to the recipe.

    Example:
        >>> criterion(SweepRow("a", train={"frontend_conf": {"criterion": "global", "rate": 15}}))
        'global'
    """
    conf = row.train.get("frontend_conf") or {}
    return str(conf.get("criterion") or (conf.get("segmenter") or {}).get("criterion") or "")


def nominal_rate(row: SweepRow) -> float | None:
    """Groups per second that a row asks for; ``None`` where the units decide.

    Example:
        >>> fixed = {"segmenter": {"criterion": "fixed", "window": 4}}
        >>> nominal_rate(SweepRow("a", train={"frontend_conf": fixed}))
        12.5
    """
    conf = row.train.get("frontend_conf") or {}
    inner = conf.get("segmenter") or {}
    rate = conf.get("rate", inner.get("rate"))
    if rate is not None:
        return float(rate)
    if inner.get("window"):
        return UNIT_RATE / float(inner["window"])
    return UNIT_RATE if criterion(row) == "original" else None
