"""A sweep's table in the paper's layout, ours beside the paper's: Markdown, terminal, pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation.asr_plots import Point, plot_error_rate
from espnet_entropy.evaluation.compare import Options, comparison_text
from espnet_entropy.evaluation.record import provenance, write_score
from espnet_entropy.evaluation.sweep_results import METRICS, PARTS, sweep_results
from espnet_entropy.evaluation.tables import markdown
from espnet_entropy.launch.sweep_file import Sweep
from espnet_entropy.utils.files import atomic_write

NOT_RUN = "not run"
EXPLANATION = (
    "WER and CER in percent: mean ± standard deviation over training seeds; for one seed, the 95 % "
    "bootstrap interval over utterances or speakers, which does not cover other seeds. 'against' "
    "is the difference in WER to the reference row in points, with its 95 % interval over seeds "
    "and utterances; then whether the row is superior (<), or not inferior by more than {margin:g} "
    "% of the reference's WER (≤), at one-sided level {alpha:g}; no sign: neither is shown. "
    "'(1 seed)': one of the two was trained once, so that models are compared, not methods. Many "
    "rows make many comparisons: no correction is made for that. The paper's figures are of its "
    "own corpus, units and model: they stand here to compare orders, not values."
)
BUDGET_NAMES = {
    "epochs": "as many epochs as the recipe says",
    "flops": "equal training FLOPs (those of the reference row)",
}


def write_sweep_report(
    sweep: Sweep, root: str | Path, out: str | Path, options: Options | None = None
) -> str:
    """Write ``results.json``, ``README.md`` and a picture for each set; return the short form.

    Args:
        sweep: its file's content.
        root: ``exp/sweep/<name>``.
        out: directory of the report.
        options: of the comparisons.

    Raises:
        ValueError: if a result cannot be read.
    """
    out, options = Path(out), options or Options()
    results = sweep_results(sweep, root, options)
    write_score(out / "results.json", {**results, **provenance()})
    number = "" if sweep.paper_table is None else f" (the paper's table {sweep.paper_table})"
    explanation = EXPLANATION.format(margin=100 * options.margin, alpha=options.alpha)
    page, short = [f"# {sweep.title}{number}\n"], [f"{sweep.title}{number}", ""]
    for budget, rows in results["budgets"].items():
        page.append(f"## Trained for {BUDGET_NAMES[budget]}\n")
        names: list[str | None] = [*_sets(rows)]
        for name in names or [None]:
            table = sweep_table(rows, name, results["reference"])
            brief = sweep_table(rows, name, results["reference"], brief=True)
            title = f"{name or 'no set scored yet'}"
            page += [f"### {title}\n", table]
            short += [f"{title}, {BUDGET_NAMES[budget]}:", "", brief]
            picture = _picture(out, sweep.title, rows, name, budget)
            page += [f"![WER against rate]({picture})\n"] if picture else []
            page += _comparisons(rows, name)
    page.append(explanation)
    page += [f"\n{sweep.note}"] if sweep.note else []
    with atomic_write(out / "README.md") as stream:
        stream.write("\n".join(page) + "\n")
    run, total = _progress(results)
    short += [explanation, *([sweep.note] if sweep.note else [])]
    short.append(f"{run} of {total} rows run. With pictures: {(out / 'README.md').resolve()}")
    return "\n".join(short)


def _sets(rows: Sequence[dict[str, Any]]) -> list[str]:
    return sorted({name for row in rows for name in row["sets"]})


def _progress(results: dict[str, Any]) -> tuple[int, int]:
    rows = [row for rows in results["budgets"].values() for row in rows]
    return sum(bool(row["sets"]) for row in rows), len(rows)


def sweep_table(
    rows: Sequence[dict[str, Any]], test_set: str | None, reference: str, brief: bool = False
) -> str:
    """One line for each row: the paper's figures, ours, and the difference to the reference.

    Args:
        rows: of one budget.
        test_set: ours; ``None`` if there is none yet.
        reference: name of the row that others are compared with.
        brief: without seen and new sentences, sizes and steps, for the terminal.
    """
    paper_sets = sorted({name for row in rows for name in row["paper"]})
    paper_sets = [test_set] if test_set in paper_sets else paper_sets
    results = [row["sets"].get(test_set) for row in rows]
    parts = [p for p in PARTS if not brief and any(r is not None and p in r for r in results)]
    with_steps = not brief and any("steps" in row["training"] for row in rows)
    label = next(row["label"] for row in rows if row["name"] == reference)
    header = ["method"]
    header += [f"paper {m.upper()} ({name})" for name in paper_sets for m in METRICS]
    header += ["Hz", "seeds", "WER %", "CER %"]
    header += [f"WER % {part.replace('_', ' ')}" for part in parts]
    header += [] if brief else ["parameters"]
    header += [*(["steps"] if with_steps else []), f"against {label}"]
    table = []
    for row, result in zip(rows, results, strict=True):
        cells = [row["label"]]
        cells += [
            _plain(row["paper"].get(name, {}).get(metric), 1)
            for name in paper_sets
            for metric in METRICS
        ]
        if result is None:
            table.append([*cells, "-", "0", NOT_RUN, *[""] * (len(header) - len(cells) - 3)])
            continue
        cells += [_plain(result["achieved_rate"], 1), str(len(result["runs"]))]
        cells += [spread(result[metric]) for metric in METRICS]
        cells += [spread(result[part]["wer"]) if part in result else "" for part in parts]
        cells += [] if brief else [_millions(result["parameters"])]
        cells += [str(row["training"].get("steps", "-"))] if with_steps else []
        table.append([*cells, _against(row, result, reference)])
    return markdown(header, table)


def spread(figure: dict[str, Any]) -> str:
    """A rate in percent with its deviation over seeds, or its interval if there is one seed.

    Example:
        >>> spread({"mean": 0.056, "sd": 0.002, "low": None, "high": None})
        '5.60 ± 0.20'
        >>> spread({"mean": 0.056, "sd": None, "low": 0.05, "high": 0.061})
        '5.60 [5.00, 6.10]'
    """
    value = _percent(figure["mean"])
    if figure["sd"] is not None:
        return f"{value} ± {_percent(figure['sd'])}"
    if figure["low"] is not None:
        return f"{value} [{_percent(figure['low'])}, {_percent(figure['high'])}]"
    return value


def _against(row: dict[str, Any], result: dict[str, Any], reference: str) -> str:
    if row["name"] == reference:
        return "(reference)"
    found = result.get("against_reference")
    if not found:
        return "-"
    difference = found["difference"]
    value, low, high = (f"{100 * difference[key]:+.2f}" for key in ("estimate", "low", "high"))
    text = f"{value} [{low}, {high}]"
    if found["superiority"]["holds"]:
        text += " <"
    elif found["non_inferiority"]["holds"]:
        text += " ≤"
    single = 1 in (len(found[role]["rates"]) for role in ("system", "reference"))
    return f"{text} (1 seed)" if single else text


def _comparisons(rows: Sequence[dict[str, Any]], test_set: str | None) -> list[str]:
    """The comparisons in words, with their power."""
    found = [row["sets"].get(test_set, {}).get("against_reference") for row in rows]
    texts = [comparison_text(result) for result in found if result]
    if not texts:
        return []
    body = "\n\n".join(texts)
    head = "<details><summary>Comparisons with the reference, and their power</summary>"
    return [f"{head}\n\n```\n{body}\n```\n\n</details>\n"]


def _picture(
    out: Path, title: str, rows: Sequence[dict[str, Any]], test_set: str | None, budget: str
) -> str | None:
    """WER against rate of a set, ours and the paper's; ``None`` where nothing has a rate."""
    points = [_point(row, test_set) for row in rows]
    if test_set is None or not any(point.ours for point in points):
        return None
    name = f"wer_{test_set}" + ("" if budget == "epochs" else f"_{budget}") + ".png"
    plot_error_rate(out / name, f"{title}: {test_set}", points)
    return name


def _point(row: dict[str, Any], test_set: str | None) -> Point:
    result = row["sets"].get(test_set)
    ours = None
    if result and result["achieved_rate"] and result["wer"]["mean"] is not None:
        wer = result["wer"]
        mean, sd = wer["mean"], wer["sd"] or 0.0
        low = mean - sd if wer["low"] is None else wer["low"]
        high = mean + sd if wer["high"] is None else wer["high"]
        ours = (result["achieved_rate"], 100 * mean, 100 * low, 100 * high)
    sets: dict[str, dict[str, float]] = row["paper"]
    figures = sets.get(test_set or "") or next(iter(sets.values()), {})
    # where the paper states no rate: what the row asks for, or what our units came to
    rate = figures.get("rate") or row["nominal_rate"] or (ours[0] if ours else None)
    paper = (rate, figures["wer"]) if rate and "wer" in figures else None
    return Point(row["label"], row["criterion"] or row["name"], ours, paper)


def _millions(parameters: int | None) -> str:
    return "-" if not parameters else f"{parameters / 1e6:.2f} M"


def _plain(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"
