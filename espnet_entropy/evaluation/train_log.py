"""Loss and accuracy per epoch, from the log of ESPnet's trainer.

ESPnet keeps them in ``checkpoint.pth`` too, but that takes torch to read; the log is text:
``… INFO: 3epoch results: [train] loss=1.541, acc=0.62, time=15.23 seconds, …, [valid] loss=…``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

Curves = dict[str, dict[str, list[tuple[int, float]]]]  # metric, then part: (epoch, value)
PLACES = ("train.log", "logs/train.log")
_EPOCH = re.compile(r"(\d+)epoch results: (.*)")
_PART = re.compile(r"\[(\w+)\] ([^\[]*)")
_VALUE = re.compile(r"(\w+)=([-+.\deE]+|nan|-?inf)(?=,|\s*$)")


def read_curves(exp: str | Path, metrics: Sequence[str] = ("loss", "acc")) -> Curves:
    """Curves of an experiment; empty where no log can be found.

    Args:
        exp: experiment directory.
        metrics: names in the log.
    """
    lines: list[str] = []
    for place in PLACES:
        path = Path(exp) / place
        if path.is_file():
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return parse_log(lines, metrics)


def parse_log(lines: Iterable[str], metrics: Sequence[str] = ("loss", "acc")) -> Curves:
    """Curves from the lines of a log; of an epoch that was run twice the later counts.

    Example:
        >>> parse_log(["INFO: 2epoch results: [train] loss=1.5, time=3 seconds, [valid] loss=2"])
        {'loss': {'train': [(2, 1.5)], 'valid': [(2, 2.0)]}}
    """
    found: dict[tuple[str, str], dict[int, float]] = {}
    for line in lines:
        match = _EPOCH.search(line)
        for part, values in _PART.findall(match[2]) if match else ():
            for name, value in _VALUE.findall(values):
                if match and name in metrics:
                    found.setdefault((name, part), {})[int(match[1])] = float(value)
    curves: Curves = {}
    for (name, part), values in sorted(found.items(), key=lambda item: metrics.index(item[0][0])):
        curves.setdefault(name, {})[part] = sorted(values.items())
    return curves
