"""Says which packages the running Python lacks: ``PYTHON tools/check_packages.py [--test]``.

Each one is imported, because a package that is installed may still not load (a torchaudio
beside another build of torch, say). Exits with 1 if one is missing. That takes seconds, so a
success is remembered in the user's cache until something is installed or removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import sys
from pathlib import Path

# module: distribution
CORE = {
    "torch": "torch",
    "torchaudio": "torchaudio",
    "espnet2": "espnet",
    "transformers": "transformers",
    "sentencepiece": "sentencepiece",
    "kaldiio": "kaldiio",
    "soundfile": "soundfile",
    "jiwer": "jiwer",
    "sacrebleu": "sacrebleu",
    "sklearn": "scikit-learn",
    "safetensors": "safetensors",
    "praatio": "praatio",
    "yaml": "pyyaml",
    "tqdm": "tqdm",
    "matplotlib": "matplotlib",
    "numpy": "numpy",
    "scipy": "scipy",
}
TEST = {
    "pytest": "pytest",
    "pytest_timeout": "pytest-timeout",
    "xdist": "pytest-xdist",
    "hypothesis": "hypothesis",
    "mypy": "mypy",
    "ruff": "ruff",
    "codespell_lib": "codespell",
    "yamllint": "yamllint",
}


def missing(packages: dict[str, str]) -> dict[str, str]:
    """The distributions that do not import, each with the reason."""
    reasons = {}
    for module, distribution in packages.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # a broken package may raise anything
            lines = str(error).splitlines() or [""]
            reasons[distribution] = f"{type(error).__name__}: {lines[0]}"
    return reasons


def stamp() -> Path:
    """The file that says "checked"; its name changes with the Python, its folders and this file."""
    folders = [(path, os.stat(path).st_mtime_ns) for path in sys.path[1:] if os.path.isdir(path)]
    state = (sys.executable, sys.version, folders, sys.argv[1:], Path(__file__).read_text())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256(repr(state).encode()).hexdigest()[:16]
    return cache / "espnet_entropy" / f"packages-{digest}"


def main() -> None:
    """Print what is missing and how to install it."""
    checked = stamp()
    if checked.exists():
        return
    lacking = missing(CORE | (TEST if "--test" in sys.argv[1:] else {}))
    if not lacking:
        with contextlib.suppress(OSError):  # without a cache it is only slower
            checked.parent.mkdir(parents=True, exist_ok=True)
            checked.touch()
        return
    print(f"setup_env: error: {sys.executable} lacks {len(lacking)} package(s):")
    for distribution, reason in lacking.items():
        print(f"    {distribution:16} {reason}")
    print(f"Install them, for instance: {sys.executable} -m pip install {' '.join(lacking)}")
    sys.exit(1)


if __name__ == "__main__":
    main()
