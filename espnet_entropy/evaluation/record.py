"""``score.json``: a result together with what it takes to make it again."""

from __future__ import annotations

import json
import math
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from espnet_entropy.utils.files import atomic_write

_PACKAGES = ("numpy", "torch", "torchaudio", "transformers", "espnet", "scikit-learn")


def provenance() -> dict[str, Any]:
    """Command, git revision (``None`` outside a checkout) and versions of this process."""
    return {"command": shlex.join(sys.argv), "git": git_revision(), "versions": _versions()}


def git_revision() -> str | None:
    """Commit of the checkout that this package lies in; ``-dirty`` where it was changed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    line = ["git", "-C", str(root), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _versions() -> dict[str, str]:
    from espnet_entropy import __version__

    found = {"espnet_entropy": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_score(path: str | Path, score: Mapping[str, Any]) -> None:
    """Write a result as JSON, atomically; NaN (undefined) becomes ``null``."""
    with atomic_write(path) as stream:
        json.dump(_plain(score), stream, indent=1, ensure_ascii=False, allow_nan=False)
        stream.write("\n")


def read_score(path: str | Path) -> dict[str, Any]:
    """Read a result of :func:`write_score`.

    Raises:
        ValueError: naming the file, if it is missing or not such a result.
    """
    path = Path(path)
    try:
        score = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable score.json ({error}); score again.") from error
    if not isinstance(score, dict) or "task" not in score:
        raise ValueError(f"{path}: expected a result with 'task', got something else; score again.")
    return score


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float):
        # six digits: what is beyond is noise, and files stay comparable
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
