"""Streaming results as Markdown and as one line, from ``score.json`` and nothing else."""

from __future__ import annotations

from typing import Any

from espnet_entropy.evaluation.tables import interval, markdown, number, readable

EXPLANATION = (
    "Every utterance was compressed twice: whole, and as a stream that hears one window after the "
    "other. The quantizer, the language model and the thresholds are the same; what differs is "
    "what the features could see. Intervals are 95 % (bootstrap over utterances). 'Chance' is the "
    "F1 of as many starts at random changes of the stream's units. Waits are audio time, from the "
    "end of a group to the instant at which it is handed out; computing comes on top. Groups that "
    "the end of the audio closed are left out of them."
)
STARTS = {"same_unit": "group starts at the same unit", "one_unit": "group starts within one unit"}


def stream_report(score: dict[str, Any]) -> str:
    """Agreement, rates and waits of one set.

    Args:
        score: of ``streaming.evaluate_streaming``.
    """
    model = score["model"]
    parts = [
        f"# Streaming on {score['test_set']}\n",
        f"{EXPLANATION}\n",
        f"{score['utterances']} utterances, {score['seconds'] / 60:.1f} minutes; criterion "
        f"{readable(score['criterion'])}, target {score['target_rate']:g} Hz; features "
        f"{model['features']}, with full context {_conf(model['full_context'])}, as a stream "
        f"{_conf(model['stream'])}.\n",
        _failed(score["failed"]),
        "\n## Agreement with full context\n",
        _agreement_table(score),
        "## Rate, entropy, boundaries\n",
        _both_table(score),
        "## Latency\n",
        _latency_table(score),
    ]
    return "\n".join(parts)


def stream_line(score: dict[str, Any]) -> str:
    """The result in one line."""
    rate, starts, phones = score["rate"], score["starts"], score["phones"]
    parts = [
        f"{score['test_set']}: stream against full context: equal units "
        f"{_share(score['equal_units']['all'])}",
        f"starts F1 {_value(starts['same_unit']['f1'])} (same unit), "
        f"{_value(starts['one_unit']['f1'])} (within one)",
        f"rate {_value(rate['full'], 2)} -> {_value(rate['stream'], 2)} Hz",
    ]
    if phones:
        parts.append(f"phone R-value {_value(phones['full'])} -> {_value(phones['stream'])}")
    wait = score["wait_seconds"]
    parts.append(f"wait mean {_value(wait['mean'])} s, max {number(wait['max'])} s")
    if score["failed"]:
        parts.append(f"{len(score['failed'])} failed: {', '.join(sorted(score['failed']))}")
    return "; ".join(parts)


def _conf(options: dict[str, Any]) -> str:
    shown = [f"{key} {value}" for key, value in options.items() if value is not None]
    return f"({', '.join(shown)})"


def _failed(failed: dict[str, str]) -> str:
    if not failed:
        return "No utterance failed."
    return "Failed:\n\n" + "\n".join(f"- {utt}: {reason}" for utt, reason in sorted(failed.items()))


def _agreement_table(score: dict[str, Any]) -> str:
    rows = [
        ["equal units" + ("" if age == "all" else f", {age}"), interval(figure), ""]
        for age, figure in score["equal_units"].items()
        if figure["estimate"] is not None  # no utterance is so long
    ]
    rows += [
        [f"{name}, F1", interval(score["starts"][key]["f1"]), number(figure)]
        for key, name in STARTS.items()
        for figure in [score["starts"][key]["chance_f1"]]
    ]
    return markdown(["figure", "share [95 %]", "chance"], rows)


def _both_table(score: dict[str, Any]) -> str:
    rate, entropy, phones = score["rate"], score["entropy"], score["phones"]
    drift = {key: None if value is None else 100 * value for key, value in rate["drift"].items()}
    rows = [
        ["groups per second", interval(rate["full"], 2), interval(rate["stream"], 2)],
        ["nats per unit", interval(entropy["full"]), interval(entropy["stream"])],
    ]
    rows[0].append(f"{interval(drift, 1, sign=True)} %")
    rows[1].append(interval(entropy["difference"], sign=True))
    if phones:
        name = f"phone R-value, ±{1000 * phones['tolerance_seconds']:.0f} ms"
        if phones["utterances"] < score["utterances"]:
            name += f" ({phones['utterances']} utterances)"
        rows.append([name, interval(phones["full"]), interval(phones["stream"])])
        rows[-1].append(interval(phones["difference"], sign=True))
    return markdown(["figure", "full context", "stream", "difference [95 %]"], rows)


def _latency_table(score: dict[str, Any]) -> str:
    parts, wait = score["latency_seconds"], score["wait_seconds"]
    rows = [
        ["features: from the start of a frame until it is known, at most", parts["features"]],
        ["segmenter: look-ahead after the unit that starts the next group", parts["segmenter"]],
        ["together", parts["features"] + parts["segmenter"]],
        [f"wait of {wait['groups']} groups, mean", wait["mean"]["estimate"]],
        ["wait, longest", wait["max"]],
    ]
    return markdown(["part", "seconds"], [[name, number(value)] for name, value in rows])


def _share(figure: dict[str, Any]) -> str:
    value = figure["estimate"]
    return "-" if value is None else f"{100 * value:.1f} %"


def _value(figure: dict[str, Any], digits: int = 3) -> str:
    return number(figure["estimate"], digits)
