"""Boundary results as Markdown, from ``score.json`` and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NAMES = {
    "global": "M1 global",
    "relative": "M2 relative",
    "combined": "M3 combined",
    "planned": "planned (ours)",
    "original": "every unit",
    "dedup": "deduplicated",
}
EXPLANATION = (
    "A boundary is the instant where a group of units begins; it counts as right if a boundary of "
    "the reference lies within the tolerance, each used once. R-value joins how many were found "
    "and how many were too many (1 is perfect); what chance reaches depends on the rate, and only "
    "what is above chance means anything. 'R above uniform' and 'R above random' compare a method "
    "with exactly as many boundaries as its own in each utterance, equally spaced or at random "
    "(left empty for the convention 'end'). Rows marked 'chance' have as many boundaries as the "
    "first method of their block: read them only beside methods of the same Hz. Chance knows "
    "nothing but that number; random_change also knows where units change, and spectral-flux the "
    "sound, but neither uses a language model."
)
COMPARED = ("uniform", "random")  # chance that every method is set beside


def method_name(result: dict[str, Any]) -> str:
    """A method's name in tables, with its convention where that is not ``start``."""
    name = readable(str(result["method"]))
    return f"{name}, end" if result["boundary"] == "end" else name


def readable(label: str) -> str:
    """A segmenter's label in words.

    Example:
        >>> readable("global_min2_max8"), readable("random_change")
        ('M1 global, min2, max8', 'random_change')
    """
    for known, name in NAMES.items():
        if label == known or label.startswith(f"{known}_"):
            return ", ".join([name, *label.removeprefix(known).split("_")[1:]])
    return label


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up on a terminal."""
    table = [list(header), *map(list, rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |"
        for row in table
    ]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines) + "\n"


def by_rate(results: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Results grouped by target rate, in the order in which they come.

    A method without one makes a rate of its own and stands alone.
    """
    groups: dict[Any, list[dict[str, Any]]] = {}
    for result in results:
        rate = result["target_rate"]
        groups.setdefault(result["method"] if rate is None else rate, []).append(result)
    return list(groups.values())


def figures_table(
    score: dict[str, Any], tier: str, tolerance: str, conventions: Sequence[str] = ("start", "end")
) -> str:
    """One-to-one figures of every method, chance at the end of each rate's rows.

    Args:
        score: of a set.
        tier: ``phones`` or ``words``.
        tolerance: ``20ms`` or ``50ms``.
        conventions: those to show.
    """
    header = ["method", "Hz", "precision", "recall", "F1", "R-value [95 %]", "over-seg.", "dev. ms"]
    header += [f"R above {name} [95 %]" for name in (*COMPARED, "best of M1-M3")]
    rows: list[list[str]] = []
    for group in by_rate(score["results"]):
        shown = [r for r in group if r["boundary"] in ("", *conventions)]
        for result in shown:
            figures = result["figures"][tier][tolerance]
            chance = result["r_value_above_chance"]
            above = [chance.get(name, {}) for name in COMPARED]
            above.append(result["r_value_above_best_of_m1_m2_m3"])
            rows.append(
                [
                    method_name(result),
                    number(result["achieved_rate"], 1),
                    *(number(figures[n]["estimate"]) for n in ("precision", "recall", "f1")),
                    interval(figures["r_value"]),
                    number(figures["over_segmentation"]["estimate"], 2, sign=True),
                    number(figures["mean_deviation"]["estimate"], 1, factor=1000),
                    *(_above(tiers, tier, tolerance) for tiers in above),
                ]
            )
        rows += _chance_rows(shown, tier, tolerance)
    return markdown(header, rows)


def _chance_rows(group: Sequence[dict[str, Any]], tier: str, tolerance: str) -> list[list[str]]:
    """Chance at the rate of the group's first method that has it."""
    first = with_chance(group)
    if first is None:
        return []
    rows = []
    for name, tiers in first["chance"].items():
        figures = tiers[tier][tolerance]
        rows.append(
            [
                f"chance: {name}",
                number(first["achieved_rate"], 1),
                *(number(figures[n]) for n in ("precision", "recall", "f1", "r_value")),
                number(figures["over_segmentation"], 2, sign=True),
                number(figures["mean_deviation"], 1, factor=1000),
                *("" for _ in (*COMPARED, "best of M1-M3")),
            ]
        )
    return rows


def _above(tiers: dict[str, Any], tier: str, tolerance: str) -> str:
    figure = tiers.get(tier, {}).get(tolerance)
    return interval(figure, sign=True) if figure else ""


def with_chance(group: Sequence[dict[str, Any]]) -> Any:
    """The first method of a rate that stands beside chance, or ``None``."""
    return next((result for result in group if result["chance"]), None)


def paper_table(score: dict[str, Any]) -> str:
    """The paper's WBA, PBA and MTD (table 11): ±50 ms, to any reference boundary."""
    columns = sorted(score["results"][0]["paper"], reverse=True)  # WBA, PBA, then the times
    factors = [100 if name in ("WBA", "PBA") else 1000 for name in columns]
    header = ["method", "Hz"]
    header += [f"{n} {'%' if f == 100 else 'ms'}" for n, f in zip(columns, factors, strict=True)]

    def row(name: str, rate: float, paper: dict[str, Any]) -> list[str]:
        pairs = zip(columns, factors, strict=True)
        return [
            name,
            number(rate, 1),
            *(number(paper[n]["estimate"], 1, factor=f) for n, f in pairs),
        ]

    rows = []
    for group in by_rate(score["results"]):
        rows += [row(method_name(r), r["achieved_rate"], r["paper"]) for r in group]
        first = with_chance(group)
        for name, paper in first["paper_chance"].items() if first else ():
            rows.append(row(f"chance: {name}", first["achieved_rate"], paper))
    return markdown(header, rows)


def lengths_table(score: dict[str, Any]) -> str:
    """How long groups are."""
    header = ["method", "Hz", "mean", "single units %", "5 %", "median", "95 %", "longest"]
    rows = []
    for result in score["results"]:
        lengths = result["group_lengths"]
        quantiles = lengths["quantiles"]
        rows.append(
            [
                method_name(result),
                number(result["achieved_rate"], 1),
                number(lengths["mean"], 2),
                number(lengths["singletons"], 1, factor=100),
                *(str(quantiles[q]) for q in ("0.05", "0.5", "0.95")),
                str(lengths["longest"]),
            ]
        )
    return markdown(header, rows)


def boundary_report(score: dict[str, Any]) -> str:
    """Everything about the boundaries of one set, as Markdown."""
    reference = score["reference"]
    shift = reference["remaining_shift_seconds"]
    parts = [
        f"# Boundaries on {score['test_set']}\n",
        f"{EXPLANATION}\n",
        f"{_calibration_note(score)}\n",
        f"{score['utterances']} utterances, {score['seconds'] / 60:.1f} minutes; "
        f"{score['left_out']} scored utterances have no reference. Alignment: "
        f"{reference['source'] or 'the corpus'}; {reference['note'] or 'no note'}; shifted by "
        f"{1000 * reference['shift_seconds']:+.0f} ms on reading.",
    ]
    if shift and shift["estimate"] is not None:
        parts[-1] += (
            f" Against the spectral flux the phones would fit best moved by a further "
            f"{1000 * shift['estimate']:+.0f} ms "
            f"[{1000 * shift['low']:+.0f}, {1000 * shift['high']:+.0f}]."
        )
    for tier, count in reference["boundaries"].items():
        rate = count / score["seconds"]
        parts.append(f"\n## {tier.capitalize()} ({count} boundaries, {rate:.1f} per second)")
        for tolerance in score["results"][0]["figures"][tier]:
            parts += [f"\n±{tolerance[:-2]} ms\n", figures_table(score, tier, tolerance)]
    parts += [
        "\n## The paper's figures (table 11)\n",
        "WBA and PBA are the share of boundaries within ±50 ms of any word or phone boundary, not "
        "one to one, so more is easily had by chance; MTD is the mean distance to the nearest.\n",
        paper_table(score),
        "\n## Units in a group (20 ms each)\n",
        lengths_table(score),
    ]
    return "\n".join(parts)


def _calibration_note(score: dict[str, Any]) -> str:
    """On which set thresholds were found, and what follows for reading the table."""
    if score["model"]["calibrated_on"] == score["test_set"]:
        return (
            "Thresholds were found on this very set, so that criteria meet at equal rates: it says "
            "which criterion is better, not what a user of the model would get."
        )
    return (
        f"Thresholds were found on {score['model']['calibrated_on']}; where the rate drifts here, "
        "R-values of different rates do not compare: see the table at equal rates."
    )


def number(value: float | None, digits: int = 3, sign: bool = False, factor: float = 1.0) -> str:
    """A figure as tables show it; ``-`` where there is none.

    Example:
        >>> number(0.0123, 2, sign=True, factor=100), number(None)
        ('+1.23', '-')
    """
    if value is None or value != value:
        return "-"
    return f"{value * factor:{'+' if sign else ''}.{digits}f}"


def interval(
    figure: Mapping[str, Any], digits: int = 3, sign: bool = False, factor: float = 1.0
) -> str:
    """An estimate with its interval, ``estimate [low, high]``; as :func:`number`."""
    value, low, high = (
        number(figure[key], digits, sign, factor) for key in ("estimate", "low", "high")
    )
    return f"{value} [{low}, {high}]"
