"""Stage ``report``: what a recipe's units and groups came to, on one page and on the terminal.

Made from ``score.json`` files and the calibration's report, and from nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation.evaluate import tolerance_name
from espnet_entropy.evaluation.plots import plot_group_lengths, plot_rates
from espnet_entropy.evaluation.record import read_score
from espnet_entropy.evaluation.tables import (
    EXPLANATION,
    by_rate,
    figures_table,
    markdown,
    method_name,
    readable,
    with_chance,
)
from espnet_entropy.utils.files import atomic_write

TOLERANCE = tolerance_name(0.02)  # of the page; the sets' own pages have ±50 ms as well
RATE = 15.0  # Hz: of the histogram and the terminal's table, the paper's middle rate
RATES = "Groups per second, asked for and reached (thresholds were chosen on the valid set)."


def write_report(exp: str | Path, out: str | Path) -> str:
    """Write ``README.md`` and pictures, and return a short table for the terminal.

    Args:
        exp: experiment directory with ``calibration/`` and ``boundaries/<set>/score.json``.
        out: directory of the report.

    Raises:
        ValueError: if the calibration's report is missing, or a result cannot be read.
    """
    exp, out = Path(exp), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    rows = read_rates(exp / "calibration")
    scores = [read_score(path) for path in sorted(exp.glob("boundaries/*/score.json"))]
    page = ["# Units and groups\n", "## Rates\n", f"{RATES}\n", rates_table(rows)]
    if scores:
        page += ["\n## Boundaries\n", f"{EXPLANATION}\n"]
    for score in scores:
        page.append(_set_section(exp, out, score))
    with atomic_write(out / "README.md") as stream:
        stream.write("\n".join(page))
    return _terminal([row for row in rows if row["target_rate"] == RATE] or rows, scores, out)


def read_rates(calibration: Path) -> list[dict[str, Any]]:
    """Rows of the calibration's ``rates.json``: set, criterion, target_rate, achieved_rate.

    Raises:
        ValueError: if it is missing or unreadable.
    """
    path = calibration / "rates.json"
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not readable ({error}); run stage 'calibrate' first.") from error
    assert isinstance(rows, list), rows
    return rows


def rates_table(rows: Sequence[dict[str, Any]]) -> str:
    """One line per criterion and target, one column per set: rate in Hz and drift in percent."""
    sets = list(dict.fromkeys(str(row["set"]) for row in rows))
    lines: dict[tuple[str, float], dict[str, str]] = {}
    for row in rows:
        drift = 100 * (row["achieved_rate"] / row["target_rate"] - 1)
        cell = f"{row['achieved_rate']:.2f} ({drift:+.1f} %)"
        lines.setdefault((row["criterion"], row["target_rate"]), {})[str(row["set"])] = cell
    table = [
        [readable(name), f"{target:g}", *(cells.get(s, "") for s in sets)]
        for (name, target), cells in lines.items()
    ]
    return markdown(["criterion", "target Hz", *sets], table)


def _set_section(exp: Path, out: Path, score: dict[str, Any]) -> str:
    """Pictures and table of one set; the pictures are written into ``out``."""
    name = score["test_set"]
    parts = [f"### {name}\n"]
    example = exp / "boundaries" / name / "example.png"
    if example.is_file():
        shutil.copyfile(example, out / f"example_{name}.png")
        parts.append(f"![one utterance](example_{name}.png)\n")
    for tier in score["reference"]["boundaries"]:
        picture = f"r_value_{name}_{tier}.png"
        _plot_r_value(out / picture, score, tier)
        parts += [
            f"{tier.capitalize()}, ±{TOLERANCE[:-2]} ms\n",
            figures_table(score, tier, TOLERANCE, conventions=("start",)),
            f"![R-value against rate]({picture})\n",
        ]
    _plot_lengths(out / f"group_lengths_{name}.png", score)
    parts += [
        f"![group lengths](group_lengths_{name}.png)\n",
        f"Both conventions, ±50 ms, the paper's figures and group lengths: "
        f"`exp/boundaries/{name}/README.md`.\n",
    ]
    return "\n".join(parts)


def _plot_r_value(path: Path, score: dict[str, Any], tier: str) -> None:
    methods: dict[str, list[tuple[float, float]]] = {}
    chance: dict[str, list[tuple[float, float]]] = {}
    for group in by_rate(r for r in score["results"] if r["target_rate"] is not None):
        for result in group:
            if result["boundary"] == "end":
                continue
            value = result["figures"][tier][TOLERANCE]["r_value"]["estimate"]
            methods.setdefault(method_name(result), []).append((result["achieved_rate"], value))
        first = with_chance(group)
        for name, tiers in first["chance"].items() if first else ():
            point = (first["achieved_rate"], tiers[tier][TOLERANCE]["r_value"])
            chance.setdefault(name, []).append(point)
    rate = score["reference"]["boundaries"][tier] / score["seconds"]
    title = f"{score['test_set']}: how well groups begin at {tier} (±{TOLERANCE[:-2]} ms)"
    plot_rates(path, title, methods, chance, reference_rate=rate)


def _plot_lengths(path: Path, score: dict[str, Any]) -> None:
    results = at_rate(score, RATE)
    histograms = {
        method_name(r): r["group_lengths"]["counts"] for r in results if r["boundary"] != "end"
    }
    rate = results[0]["target_rate"]
    title = f"{score['test_set']}: how long groups are" + (f" at {rate:g} Hz" if rate else "")
    plot_group_lengths(path, title, histograms)


def at_rate(score: dict[str, Any], rate: float) -> list[dict[str, Any]]:
    """Results of the target rate nearest to ``rate``; those without a rate if there is no other."""
    results: list[dict[str, Any]] = score["results"]
    rates = [r["target_rate"] for r in results if r["target_rate"] is not None]
    nearest = min(rates, key=lambda known: abs(known - rate), default=None)
    return [r for r in results if r["target_rate"] == nearest]


def _terminal(rows: Sequence[dict[str, Any]], scores: Sequence[dict[str, Any]], out: Path) -> str:
    """What the recipe prints at its end: the middle rate only."""
    parts = ["", RATES, "", rates_table(rows)]
    if scores:
        score = scores[0]
        tier = next(iter(score["reference"]["boundaries"]))
        results = at_rate(score, RATE)
        parts += [
            f"Do groups begin where {tier} begin? {score['test_set']}, ±{TOLERANCE[:-2]} ms:",
            "",
            figures_table({**score, "results": results}, tier, TOLERANCE, conventions=("start",)),
            EXPLANATION,
            "",
        ]
    parts.append(f"The whole report, with pictures: {(out / 'README.md').resolve()}")
    return "\n".join(parts)
