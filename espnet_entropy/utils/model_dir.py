"""Directories of a model whose parts belong together: what opening one checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from espnet_entropy.utils.config import load_config

T = TypeVar("T")


@dataclass(frozen=True)
class Kind:
    """A kind of model directory.

    Attributes:
        name: for messages: ``model directory``.
        manifest: file that says what belongs together; written last.
        parts: files and folders that must be there beside it.
        format: version of the layout that this version reads.
        made_by: sentence for who has none.
        usual: where recipes put it.
    """

    name: str
    manifest: str
    parts: Sequence[str]
    format: int
    made_by: str
    usual: str


def open_model_dir(path: Path, kind: Kind, manifest: type[T]) -> T:
    """Read the manifest of a directory that has every part.

    Args:
        path: the directory.
        kind: what it should be.
        manifest: dataclass of the manifest's content, with a field ``format``.

    Raises:
        ValueError: naming what is missing, or a layout of another version.
    """
    if not path.is_dir():
        raise ValueError(f"{path}: no such {kind.name}; {kind.made_by}.")
    missing = [name for name in (kind.manifest, *kind.parts) if not (path / name).exists()]
    if missing:
        raise ValueError(
            f"{path}: not a {kind.name}: lacks {', '.join(missing)}. Give the directory that holds "
            f"{kind.manifest} ({kind.usual} of a recipe)."
        )
    found: Any = load_config(manifest, path / kind.manifest)
    if found.format != kind.format:
        raise ValueError(
            f"{path / kind.manifest}: format {found.format}, but this version reads format "
            f"{kind.format}; use the version of espnet_entropy that wrote it, or make it anew."
        )
    content: T = found
    return content
