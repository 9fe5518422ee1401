"""``espnet-entropy info``: what a model directory is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from espnet_entropy.compressor.model_dir import ModelDirectory
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.utils.config import read_yaml, to_dict


def describe(directory: Path, as_json: bool = False) -> str:
    """A model directory in words: its parts, sizes, criteria and rates.

    Nothing but the YAML files is read.

    Raises:
        ValueError: if it is not a model directory.
    """
    model = ModelDirectory.open(directory)
    table = CalibrationTable.load(model.calibration)
    content: dict[str, Any] = {
        "model": str(model.path),
        **to_dict(model.manifest),
        "tokenizer_config": read_yaml(model.tokenizer / "tokenizer.yaml"),
        "entropy_lm_config": read_yaml(model.entropy_lm / "config.yaml"),
        "bytes": sum(f.stat().st_size for f in model.path.rglob("*") if f.is_file()),
        "calibration": [
            {
                "criterion": entry.name,
                "target_rate": entry.target_rate,
                "achieved_rate": entry.achieved_rate,
                "thresholds": {knob: getattr(entry.config, knob) for knob in entry.config.knobs},
            }
            for entry in table.entries
        ],
    }
    if as_json:
        return json.dumps(content, indent=1, ensure_ascii=False)
    return _in_words(content)


def _in_words(content: dict[str, Any]) -> str:
    lines = [
        f"model       {content['model']} ({content['bytes'] / 1e6:.1f} MB)",
        f"tokenizer   {content['tokenizer']}: {content['tokenizer_config']['features']}, "
        f"K = {content['num_clusters']}, 50 units per second",
        f"entropy LM  {content['entropy_lm']}",
        f"default     criterion {content['criterion']}, {content['rate']:g} groups per second",
        "",
        f"{'criterion':<24}{'target Hz':>10}{'achieved Hz':>13}   thresholds (nats; rates in Hz)",
    ]
    for entry in content["calibration"]:
        knobs = ", ".join(f"{name} {value:.4f}" for name, value in entry["thresholds"].items())
        lines.append(
            f"{entry['criterion']:<24}{entry['target_rate']:>10g}{entry['achieved_rate']:>13.2f}"
            f"   {knobs or '-'}"
        )
    return "\n".join(lines)
