"""Checkpoints of ESPnet's trainer that survive SIGKILL at any instant.

The trainer writes ``checkpoint.pth`` in place, then the epoch's weights. Killed inside the
first, a run cannot resume; killed between the two, it resumes but lacks an epoch's weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from espnet_entropy.utils.files import atomic_write


@contextmanager
def atomic_checkpoints() -> Iterator[None]:
    """Within the context ``torch.save`` to a path is atomic.

    An epoch's weights are written before the ``checkpoint.pth`` that says it is done.
    """
    save = torch.save

    def save_atomically(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(f, str | os.PathLike):
            save(obj, f, *args, **kwargs)
            return
        path = Path(f)
        if path.name == "checkpoint.pth" and "reporter" in obj:
            epoch = obj["reporter"]["epoch"]
            save_atomically(obj["model"], path.parent / f"{epoch}epoch.pth")
        with atomic_write(path, "wb") as stream:
            save(obj, stream, *args, **kwargs)

    torch.save = save_atomically  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.save = save  # type: ignore[assignment]
