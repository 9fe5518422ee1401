"""What a model card says of sets that the encoder has not seen: figures of ``evaluate_units``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from espnet_entropy.evaluation.record import read_score
from espnet_entropy.evaluation.tables import markdown
from espnet_entropy.evaluation.unit_quality import TASK
from espnet_entropy.tokenizer.mel_model_dir import CARD
from espnet_entropy.tokenizer.tokenizer import read_description
from espnet_entropy.utils.config import read_yaml
from espnet_entropy.utils.files import atomic_write

HEADING = "\n## Other sets\n"
EXPLANATION = """
Not trained on, and layer and clusters were not chosen by them; [95 % interval]. PNMI, and ABX \
error of the units, as `evaluate_units` counts them.

"""
COLUMNS = (
    ("pnmi", "PNMI", 1),
    ("abx_within", "ABX within %", 100),
    ("abx_across", "across %", 100),
)


def write_figures(units: str | Path, scores: Iterable[tuple[str, str | Path]]) -> str:
    """Put a table at the end of an export's card, in place of the one that is there.

    Args:
        units: what ``export_units`` wrote.
        scores: what to call each set, and its ``score.json`` of ``evaluate_units``.

    Returns:
        The table.

    Raises:
        ValueError: for a file that is missing, or figures of other tokenizers.
    """
    units = Path(units)
    path = units / "model" / CARD
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a model card. Run stage 'export'.")
    exported = set()
    for directory in units.glob("tokenizer_*"):
        quantizer = read_yaml(directory / "quantizer.yaml")["fingerprint"]
        exported.add((read_description(directory)["features_fingerprint"], quantizer))
    rows = []
    for name, file in scores:
        score = read_score(file)
        made = {(score.get("features_fingerprint"), one) for one in score.get("quantizers", ())}
        if score.get("task") != TASK or not made or not made <= exported:
            raise ValueError(
                f"{file}: expected evaluate_units' figures of {units}/tokenizer_*; they are of "
                "other units. Evaluate these."
            )
        rows += [_row(name, score, row) for row in score["units"]]
    header = ["set", "speakers", "minutes", "K", *(title for _, title, _ in COLUMNS)]
    table = markdown(header, rows)
    card = path.read_text(encoding="utf-8").split(HEADING)[0]
    with atomic_write(path) as stream:
        stream.write(f"{card}{HEADING}{EXPLANATION}{table}")
    return table


def _row(name: str, score: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    cells = [_cell(row.get(key), factor) for key, _, factor in COLUMNS]
    minutes = f"{score['seconds'] / 60:.1f}"
    return [name, str(score["speakers"]), minutes, str(row["num_clusters"]), *cells]


def _cell(estimate: Mapping[str, Any] | None, factor: int) -> str:
    if estimate is None or estimate["estimate"] is None:
        return "–"
    digits = 3 if factor == 1 else 1
    shown = {
        key: f"{factor * value:.{digits}f}" for key, value in estimate.items() if value is not None
    }
    interval = f" [{shown['low']}, {shown['high']}]" if {"low", "high"} <= shown.keys() else ""
    return shown["estimate"] + interval
