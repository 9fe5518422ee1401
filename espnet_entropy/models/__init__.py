"""Models that come with the toolkit: model directories of units beside this file.

Wherever a model directory of units is asked for, the name of a shipped one does as well; a model
directory of that name goes first.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
MANIFEST = "model.yaml"
DEFAULT = "mini_hubert"


def shipped() -> list[str]:
    """Names of the shipped models."""
    return sorted(path.parent.name for path in ROOT.glob(f"*/{MANIFEST}"))


def resolve(model: str | Path | None) -> Path:
    """Where a model lies: a directory, a shipped model by its name, or the default one.

    What is neither is given back as it stands, for the reader's error to name it.
    """
    if model is None:
        return ROOT / DEFAULT
    if not (Path(model) / MANIFEST).is_file() and str(model) in shipped():
        return ROOT / model
    return Path(model)
