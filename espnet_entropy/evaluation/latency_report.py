"""Table 6 and the cost of every part, from what was timed: ``score.json`` and ``README.md``."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_entropy.evaluation.cost import (
    decoder_flops,
    encoder_flops,
    entropy_lm_flops,
    features_flops,
    quantizer_flops,
)
from espnet_entropy.evaluation.latency import Row, Times, Utterance, WaveformParts
from espnet_entropy.evaluation.tables import markdown

TASK = "latency"
WAVEFORM = ("features", "quantizer", "entropy_lm")
NAMES = {"features": "features", "quantizer": "quantizer", "entropy_lm": "entropy LM",
         "segmenter": "segmenter", "encoder": "encoder"}  # fmt: skip
EXPLANATION = (
    "Milliseconds for one utterance at a time (batch 1): median and 95th percentile over the "
    "utterances, each the least of its repetitions; rows took turns. Every row's decoder makes the "
    "same number of steps in an utterance and ends no earlier, so that a better or worse text does "
    "not count. 'Hz' are groups per second on these utterances. 'encoder + decoder' is what the "
    "paper's table 6 is compared with (its figure: ms / ms of 50 Hz); 'whole' adds features, "
    "quantizer, segmenter and, where the groups depend on entropy, the entropy LM. 'full', "
    "'window' and 'none' say what CALE's units see of each other."
)
COST = (
    "GFLOPs per second of audio in closed form (matrix products, convolutions, attention; forward) "
    "and the real-time factor: computing time over audio time, all utterances together. The "
    "segmenter only compares and counts as none."
)


def part_flops(
    row: Row,
    utterances: Sequence[Utterance],
    waveform: WaveformParts | None,
    groups: np.ndarray,
    beams: Sequence[int],
) -> dict[str, float]:
    """FLOPs of each part on all utterances together.

    Args:
        row: the system.
        utterances: that were timed.
        waveform: parts before the units, or ``None``.
        groups: (U,) int, of the row.
        beams: sizes of the decoder's beam.
    """
    found: dict[str, float] = dict.fromkeys(parts_of(row.scores, waveform is not None, beams), 0)
    decoder = row.model.decoder
    for utterance, count in zip(utterances, groups.tolist(), strict=True):
        N = len(utterance.scored)
        if waveform is not None:
            tokenizer = waveform.tokenizer
            found["features"] += features_flops(tokenizer.features, len(utterance.wav))
            width = tokenizer.features.dim
            found["quantizer"] += quantizer_flops(N, tokenizer.num_clusters, width)
            if row.scores:
                found["entropy_lm"] += entropy_lm_flops(waveform.scorer.model.config, N)
        found["encoder"] += encoder_flops(row.model.encoder, N, count)
        for beam in beams:
            found[f"decoder_{beam}"] += decoder_flops(decoder, count, utterance.tokens, beam)
    return found


def parts_of(scores: bool, waveform: bool, beams: Sequence[int]) -> list[str]:
    """Names of a row's parts, in the order in which they run."""
    first = [part for part in WAVEFORM if part != "entropy_lm" or scores] if waveform else []
    return [*first, "segmenter", "encoder", *(f"decoder_{beam}" for beam in beams)]


def summarize(
    rows: Sequence[Row],
    utterances: Sequence[Utterance],
    times: Times,
    waveform: WaveformParts | None,
    beams: Sequence[int],
    reference: str,
) -> dict[str, Any]:
    """A part of ``score.json``: medians, percentiles, ratios and FLOPs of each row.

    Args:
        rows: the systems.
        utterances: that were timed.
        times: of :func:`espnet_entropy.evaluation.latency.measure`.
        waveform: parts before the units, or ``None``.
        beams: sizes of the decoder's beam.
        reference: the row that ratios are of.
    """
    seconds = sum(utterance.seconds for utterance in utterances)
    results: dict[str, dict[str, Any]] = {}
    for row in rows:
        parts = parts_of(row.scores, waveform is not None, beams)
        table = times.waveform | times.rows[row.name]
        sums = _sums(table, parts, beams)
        flops = part_flops(row, utterances, waveform, times.groups[row.name], beams)
        results[row.name] = {
            "label": row.label,
            "rate": float(times.groups[row.name].sum() / seconds),
            "entropy_lm": row.scores,
            "parameters": sum(p.numel() for p in row.model.parameters()),
            "encoder_parameters": sum(p.numel() for p in row.model.encoder.parameters()),
            "paper_ms": row.paper,
            "parts": {part: _figures(table[part], seconds) for part in parts},
            "sums": {name: _figures(values, seconds) for name, values in sums.items()},
            "flops_per_second": {part: value / seconds for part, value in flops.items()},
        }
    _add_ratios(results, reference)
    return {
        "utterances": len(utterances),
        "seconds": seconds,
        "text_tokens": float(np.mean([utterance.tokens for utterance in utterances])),
        "beams": list(beams),
        "reference": reference,
        "waveform": None if waveform is None else waveform.name,
        "rows": results,
    }


def _sums(
    table: Mapping[str, np.ndarray], parts: Sequence[str], beams: Sequence[int]
) -> dict[str, np.ndarray]:
    """Seconds (U,) of encoder + decoder, and of the whole, for each beam."""
    found = {}
    before = sum(table[part] for part in parts if not part.startswith(("encoder", "decoder")))
    for beam in beams:
        both = table["encoder"] + table[f"decoder_{beam}"]
        found[f"encoder_decoder_{beam}"] = both
        found[f"whole_{beam}"] = both + before
    return found


def _figures(seconds: np.ndarray, audio: float) -> dict[str, float]:
    return {
        "median_ms": 1e3 * float(np.median(seconds)),
        "p95_ms": 1e3 * float(np.quantile(seconds, 0.95)),
        "rtf": float(seconds.sum() / audio),
    }


def _add_ratios(results: Mapping[str, dict[str, Any]], reference: str) -> None:
    """Medians over those of the reference row; the paper's likewise."""
    base = results[reference]
    for result in results.values():
        result["ratio"] = {
            name: figures["median_ms"] / base["sums"][name]["median_ms"]
            for name, figures in result["sums"].items()
        }
        paper = result["paper_ms"], base["paper_ms"]
        result["paper_ratio"] = None if None in paper else paper[0] / paper[1]


def describe_device(device: torch.device) -> dict[str, Any]:
    """Name and threads of what computes, and how busy the machine was."""
    if device.type == "cuda":
        return {"type": "cuda", "name": torch.cuda.get_device_name(device)}
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf-8").splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    load = round(os.getloadavg()[0], 1)
    threads = torch.get_num_threads()
    return {"type": "cpu", "name": name, "cores": os.cpu_count(), "threads": threads, "load": load}


def latency_report(score: Mapping[str, Any]) -> str:
    """The whole page, Markdown."""
    return "\n".join(
        [
            "# Latency (the paper's table 6)\n",
            f"{conditions(score)}\n",
            latency_table(score),
            f"\n{EXPLANATION}\n",
            "## Parts, ms: median / 95th percentile\n",
            parts_table(score),
            "\n## Cost\n",
            f"{COST}\n",
            cost_table(score),
            f"\n{balance(score)}\n",
            f"Made by `{score['command']}` (git {score['git']})\n",
        ]
    )


def conditions(score: Mapping[str, Any]) -> str:
    """Where and on what it was measured, in a paragraph."""
    d = score["device"]
    threads = f", {d['threads']} of {d['cores']} cores, load {d['load']}" if "load" in d else ""
    return (
        f"Device: {d['name']} ({d['type']}{threads}; {score['clock']} clock). "
        f"{score['utterances']} utterances of {score['test_set']}, {score['seconds']:.0f} s, "
        f"{score['text_tokens']:.0f} text tokens each on average; {score['repeats']} repetitions. "
        f"Weights: {score['weights']}. Before the units: {score['waveform'] or 'not timed'}."
    )


def latency_table(score: Mapping[str, Any]) -> str:
    """Table 6: encoder + decoder and the whole, ours beside the paper's."""
    whole = ["whole"] if score["waveform"] else []
    header = ["compression", "Hz", "paper ms", "paper ratio"]
    for beam in score["beams"]:
        for name in ("encoder + decoder", *whole):
            header += [f"{name}, {beam_name(beam)}: ms", "ratio"]
    rows = []
    for result in score["rows"].values():
        line = [result["label"], f"{result['rate']:.1f}", _plain(result["paper_ms"], 0)]
        line.append(_plain(result["paper_ratio"], 2))
        for beam in score["beams"]:
            for name in ("encoder_decoder", *whole):
                figures = result["sums"][f"{name}_{beam}"]
                line.append(f"{figures['median_ms']:.1f} / {figures['p95_ms']:.1f}")
                line.append(f"{result['ratio'][f'{name}_{beam}']:.2f}")
        rows.append(line)
    return markdown(header, rows)


def parts_table(score: Mapping[str, Any]) -> str:
    """Each part of each row."""
    parts = _all_parts(score)
    rows = []
    for result in score["rows"].values():
        cells = []
        for part in parts:
            found = result["parts"].get(part)
            cells.append(f"{found['median_ms']:.1f} / {found['p95_ms']:.1f}" if found else "-")
        rows.append([result["label"], *cells])
    return markdown(["compression", *map(part_name, parts)], rows)


def cost_table(score: Mapping[str, Any]) -> str:
    """GFLOPs per second of audio and real-time factor of each part, and of all."""
    parts = _all_parts(score)
    rows = []
    for result in score["rows"].values():
        flops, times = result["flops_per_second"], result["parts"]
        cells = [
            f"{flops[part] / 1e9:.3g} ({times[part]['rtf']:.2g})" if part in times else "-"
            for part in parts
        ]
        last = f"decoder_{score['beams'][-1]}"
        shown = [part for part in times if not part.startswith("decoder") or part == last]
        total = sum(flops[part] for part in shown) / 1e9
        rtf = sum(times[part]["rtf"] for part in shown)
        size = f"{result['parameters'] / 1e6:.1f}"
        rows.append([result["label"], size, *cells, f"{total:.3g} ({rtf:.2g})"])
    last_beam = beam_name(score["beams"][-1])
    header = ["GFLOPs/s (real-time factor)", "M weights", *map(part_name, parts)]
    return markdown([*header, f"all, {last_beam}"], rows)


def balance(score: Mapping[str, Any]) -> str:
    """What entropy groups save behind the segmenter against what the entropy LM costs."""
    rows, base, beam = score["rows"], score["rows"][score["reference"]], score["beams"][-1]
    lines = []
    for result in rows.values():
        if not result["entropy_lm"] or "entropy_lm" not in result["parts"]:
            continue
        names = ("encoder", f"decoder_{beam}")
        saved = sum(base["flops_per_second"][n] - result["flops_per_second"][n] for n in names)
        lm = result["flops_per_second"]["entropy_lm"]
        rtf = sum(base["parts"][n]["rtf"] - result["parts"][n]["rtf"] for n in names)
        lm_rtf = result["parts"]["entropy_lm"]["rtf"]
        lines.append(
            f"- {result['label']}: encoder and decoder save {saved / 1e9:.3g} GFLOPs and "
            f"{1e3 * rtf:.3g} ms per second of audio; the entropy LM costs {lm / 1e9:.3g} GFLOPs "
            f"and {1e3 * lm_rtf:.3g} ms: {'a gain' if rtf > lm_rtf else 'a loss'} of "
            f"{1e3 * abs(rtf - lm_rtf):.3g} ms in all."
        )
    if not lines:
        return ""
    head = f"Against {base['label']} ({beam_name(beam)}), the entropy LM included:\n\n"
    return head + "\n".join(lines) + "\n"


def beam_name(beam: int) -> str:
    """``greedy`` or ``beam n``."""
    return "greedy" if beam == 1 else f"beam {beam}"


def part_name(part: str) -> str:
    """A part in words."""
    if part in NAMES:
        return NAMES[part]
    return f"decoder, {beam_name(int(part.removeprefix('decoder_')))}"


def _all_parts(score: Mapping[str, Any]) -> list[str]:
    return parts_of(
        any(result["entropy_lm"] for result in score["rows"].values()),
        score["waveform"] is not None,
        score["beams"],
    )


def _plain(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
