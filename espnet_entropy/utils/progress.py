"""Progress bars that stay quiet when nobody is looking."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sized
from typing import Any, TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], what: str, total: int | None = None, unit: str = "utt") -> Any:
    """Iterate over ``items`` with a bar (count, rate, time left) on a terminal's stderr.

    Returns a ``tqdm`` object: iterate over it, or call ``update(n)`` with ``items=()``.
    """
    from tqdm import tqdm

    if total is None and isinstance(items, Sized):
        total = len(items)
    return tqdm(
        items,
        desc=what,
        total=total,
        unit=unit,
        disable=not sys.stderr.isatty(),
        mininterval=0.5,
        smoothing=0.05,
        dynamic_ncols=True,
    )
