"""The parts of a model directory, and whether they belong together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.compressor.model_dir import ModelDirectory
from espnet_entropy.entropy_lm.model import EntropyLM
from espnet_entropy.segmenter.calibrate import CalibrationTable
from espnet_entropy.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Parts:
    """A tokenizer, an entropy LM and calibrated thresholds."""

    tokenizer: Tokenizer
    lm: EntropyLM
    table: CalibrationTable


def load_parts(
    tokenizer: Path, entropy_lm: Path, table: CalibrationTable, device: str = "cpu"
) -> Parts:
    """Load the large parts; see :func:`check_parts` for whether all three fit each other."""
    return Parts(
        Tokenizer.from_pretrained(tokenizer, device=device),
        EntropyLM.from_pretrained(entropy_lm, device=device),
        table,
    )


def check_parts(parts: Parts) -> None:
    """Refuse parts that were not made for each other.

    Raises:
        ValueError: naming the two parts and their fingerprints.
    """
    tokenizer, lm, table = parts.tokenizer, parts.lm, parts.table
    _same("entropy LM", lm.tokenizer, "tokenizer", tokenizer.fingerprint)
    _same("calibration", table.tokenizer, "tokenizer", tokenizer.fingerprint)
    _same("calibration", table.entropy_lm, "entropy LM", lm.fingerprint)
    if lm.config.num_clusters != tokenizer.num_clusters:
        raise ValueError(
            f"the entropy LM knows {lm.config.num_clusters} units, but the tokenizer makes "
            f"{tokenizer.num_clusters}; train the LM on units of this tokenizer."
        )


def check_manifest(parts: Parts, model: ModelDirectory) -> None:
    """Refuse parts other than those that ``model.yaml`` names.

    Raises:
        ValueError: naming both.
    """
    tokenizer, lm, manifest = parts.tokenizer, parts.lm, model.manifest
    for what, expected, found in (
        ("tokenizer", manifest.tokenizer, tokenizer.fingerprint),
        ("entropy_lm", manifest.entropy_lm, lm.fingerprint),
        ("num_clusters", manifest.num_clusters, tokenizer.num_clusters),
    ):
        if expected != found:
            raise ValueError(
                f"{model.path / 'model.yaml'}: {what} is {expected}, but that of the part beside "
                f"it is {found}; make the model directory anew (pack_model)."
            )


def _same(part: str, expected: str, other: str, found: str) -> None:
    if expected != found:
        raise ValueError(
            f"the {part} belongs to the {other} {expected}, but this {other} is {found}; "
            f"take parts of one recipe, or make the {part} anew for this {other}."
        )
