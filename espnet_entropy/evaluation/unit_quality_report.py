"""Quality of units as a page: a table for each set, a picture for each measure.

Made from ``score.json`` files and from nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from espnet_entropy.evaluation.plots import COLOURS, save_picture, subplots
from espnet_entropy.evaluation.tables import markdown
from espnet_entropy.utils.files import atomic_write

EXPLANATION = (
    "PNMI is the share of the phone's uncertainty that knowing the unit takes away; phone purity "
    "the accuracy of naming each frame after its unit's most frequent phone; cluster purity the "
    "counterpart, which falls as K grows (Hsu et al. 2021; all frames, silence being one more "
    "phone; 'speech' leaves silence out). 'PNMI bias' is by how much counting so few frames makes "
    "PNMI too high, at least: do not compare K by less. ABX: how often X is nearer to B, another "
    "phone, than to A, its own, in the same context (chance 50 %; angular DTW, averaged as "
    "ZeroSpeech does); 'features' are the layer's frames, 'units' compares equal or not, "
    "'centroids' the angle between the units' centroids. Intervals are 95 % bootstrap."
)


class Measure(NamedTuple):
    """A column and a picture.

    Attributes:
        key: in ``score.json``.
        title: short.
        digits: after the point.
        factor: from the file's value to the shown one.
        per_layer: whether the layer's features have it, not the units.
    """

    key: str
    title: str
    digits: int = 3
    factor: float = 1.0
    per_layer: bool = False


MEASURES = (
    Measure("pnmi", "PNMI"),
    Measure("pnmi_bias", "PNMI bias"),
    Measure("pnmi_speech", "PNMI, speech"),
    Measure("phone_purity", "phone purity"),
    Measure("cluster_purity", "cluster purity"),
    Measure("perplexity", "perplexity", 0),
    Measure("usage", "used %", 0, 100),
    Measure("dedup_rate", "dedup Hz", 1),
    Measure("abx_within", "ABX within %, features", 1, 100, True),
    Measure("abx_within", "ABX within %, units", 1, 100),
    Measure("abx_centroids_within", "ABX within %, centroids", 1, 100),
    Measure("abx_across", "ABX across %, features", 1, 100, True),
    Measure("abx_across", "ABX across %, units", 1, 100),
    Measure("abx_centroids_across", "ABX across %, centroids", 1, 100),
    Measure("r_value", "R-value"),
    Measure("group_rate", "group Hz", 2),
)
WITH_INTERVAL = {"pnmi", "abx_within", "abx_across", "r_value"}


def write_quality_report(scores: Sequence[dict[str, Any]], out: str | Path) -> str:
    """Write ``README.md`` and pictures of several sets; returns the tables for the terminal.

    Args:
        scores: of ``evaluate_units``.
        out: directory; pictures are ``<set>_<measure>.png``.
    """
    out = Path(out)
    page, terminal = ["# Quality of units\n", f"{EXPLANATION}\n"], []
    for score in scores:
        section = f"## {score['test_set']}\n\n{_about(score)}\n\n{quality_table(score)}"
        terminal.append(section)
        page += [section, *(f"![{title}]({name})" for title, name in _pictures(score, out)), ""]
    with atomic_write(out / "README.md") as stream:
        stream.write("\n".join(page))
    return "\n".join(terminal)


def _about(score: dict[str, Any]) -> str:
    """What the set is, and what was left out."""
    info, abx = score["alignment"], score["abx"]
    about = (
        f"{score['utterances']} utterances, {score['speakers']} speakers, "
        f"{score['seconds'] / 60:.1f} minutes; {score['phones']} phones, silence "
        f"{100 * score['silence']:.0f} % of the frames. Alignment: "
        f"{info['source'] or 'the corpus'}; {info['note'] or 'no note'}. "
        f"Intervals over {score['bootstrap']['drawn']}."
    )
    if score["failed"] or score["unaligned"]:
        about += f" Left out: {len(score['failed'])} failed, {score['unaligned']} without phones."
    if abx["items"]:
        tasks = " and ".join(f"{abx[kind]['triplets']} {kind}" for kind in ("within", "across"))
        about += (
            f" ABX: {abx['items']} of {abx['items_found']} {abx['item']} items (at most "
            f"{abx['max_items']}, {abx['max_per_cell']} of one speaker, context and phone, "
            f"{abx['max_x_speakers']} speakers of X; seed {abx['seed']}): {tasks} triplets."
        )
    model = "a bigram" if score["entropy"] == "bigram" else "the entropy LM"
    about += (
        f" R-value: phone boundaries, ±20 ms, groups of `planned` at {score['rate']:g} Hz, or the "
        "'group Hz' that could be had nearest to it (threshold found on this set), with the "
        f"entropy of {model}."
    )
    lacking: dict[str, list[str]] = {}
    for row in score["units"]:
        if reason := row.get("no_r_value"):  # absent from older results
            lacking.setdefault(reason, []).append(f"{row['layer']} K = {row['num_clusters']}")
    return about + "".join(
        f" No R-value of layer {', '.join(which)}: {reason}" for reason, which in lacking.items()
    )


def quality_table(score: dict[str, Any]) -> str:
    """One line for each layer and K."""
    layers = {row["layer"]: row for row in score["features_abx"]}
    shown = [m for m in MEASURES if any(_value(m, row, layers) for row in score["units"])]
    rows = []
    for row in score["units"]:
        cells = [_cell(m, _value(m, row, layers)) for m in shown]
        rows.append([row["layer"], str(row["num_clusters"]), *cells])
    return markdown(["layer", "K", *(measure.title for measure in shown)], rows)


def _value(
    measure: Measure, row: dict[str, Any], layers: dict[str, dict[str, Any]]
) -> dict[str, Any] | None:
    """Estimate and interval, or ``None`` where the set does not offer the measure."""
    value = (layers[row["layer"]] if measure.per_layer else row).get(measure.key)
    if isinstance(value, float | int):
        return {"estimate": value, "low": None, "high": None}
    found: dict[str, Any] | None = value
    return found


def _cell(measure: Measure, value: dict[str, float] | None) -> str:
    if value is None or value["estimate"] is None:
        return "-"
    text = f"{measure.factor * value['estimate']:.{measure.digits}f}"
    if measure.key not in WITH_INTERVAL or value["low"] is None:
        return text
    low, high = (f"{measure.factor * value[k]:.{measure.digits}f}" for k in ("low", "high"))
    return f"{text} [{low}, {high}]"


def _pictures(score: dict[str, Any], out: Path) -> list[tuple[str, str]]:
    """Title and file of a picture for each measure, against layer or, with one layer, K."""
    layers = {row["layer"]: row for row in score["features_abx"]}
    sizes = sorted({row["num_clusters"] for row in score["units"]})
    if len(layers) == 1 and len(sizes) == 1:
        return []
    written = []
    for measure in MEASURES:
        if measure.per_layer or not any(_value(measure, row, layers) for row in score["units"]):
            continue
        title = measure.title.removesuffix(", units")
        lines = _against_layer(score, measure) if len(layers) > 1 else _against_size(score, measure)
        figure, axis = subplots(1, 1, (7.0, 4.0))
        figure.set_layout_engine("constrained")
        for i, (label, points) in enumerate(lines.items()):
            _draw(axis, points, measure.factor, COLOURS[i % len(COLOURS)], label)
        if len(layers) > 1:
            axis.set_xticks(range(len(layers)), list(layers))
            axis.set_xlabel("layer")
            axis.legend(fontsize=8)
        else:
            axis.set_xscale("log")
            axis.set_xticks(sizes, list(map(str, sizes)))
            axis.minorticks_off()
            axis.set_xlabel("K")
        axis.set_ylabel(title)
        axis.set_title(f"{score['test_set']}: {title}", fontsize=11)
        axis.grid(alpha=0.3)
        name = f"{score['test_set']}_{measure.key}.png"
        save_picture(figure, out / name)
        written.append((title, name))
    return written


Points = list[tuple[float, dict[str, Any] | None]]


def _against_layer(score: dict[str, Any], measure: Measure) -> dict[str, Points]:
    """A line for each K, and one for the layers' features where they have the measure."""
    layers = {row["layer"]: row for row in score["features_abx"]}
    index = {layer: i for i, layer in enumerate(layers)}
    lines: dict[str, Points] = {}
    for row in score["units"]:
        line = lines.setdefault(f"K = {row['num_clusters']}", [])
        line.append((index[row["layer"]], _value(measure, row, layers)))
    if any(m.per_layer and m.key == measure.key for m in MEASURES):
        lines["features"] = [(index[name], row.get(measure.key)) for name, row in layers.items()]
    return lines


def _against_size(score: dict[str, Any], measure: Measure) -> dict[str, Points]:
    rows = sorted(score["units"], key=lambda row: int(row["num_clusters"]))
    return {"units": [(row["num_clusters"], _value(measure, row, {})) for row in rows]}


def _draw(axis: Any, points: Points, factor: float, colour: str, label: str) -> None:
    """A line with its intervals; values that are undefined are left out."""
    known = [(x, value) for x, value in points if value and value["estimate"] is not None]
    heights = [factor * value["estimate"] for _, value in known]
    axis.plot([x for x, _ in known], heights, "o-", color=colour, label=label)
    bounded = [(x, value) for x, value in known if value["low"] is not None]
    low, high = ([factor * value[k] for _, value in bounded] for k in ("low", "high"))
    axis.fill_between([x for x, _ in bounded], low, high, color=colour, alpha=0.15, linewidth=0)
