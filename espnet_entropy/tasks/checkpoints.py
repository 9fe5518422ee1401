"""Checkpoints of ESPnet's trainer that survive SIGKILL at any instant.

The trainer writes ``checkpoint.pth`` in place, then the epoch's weights, then the links to the
best epoch. Killed inside the first, a run cannot resume; killed between the first two, it resumes
but lacks an epoch's weights; killed before the third, its links stay at a worse epoch for good.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from espnet_entropy.entropy_lm.export import rank_epochs, read_stats
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


def mend_links(directory: str | Path, criteria: Sequence[Sequence[str]]) -> None:
    """Point ``<phase>.<name>.best.pth`` at the best epoch of the record in ``checkpoint.pth``.

    Args:
        directory: ESPnet's output directory; without a checkpoint nothing is done.
        criteria: ``best_model_criterion``: phase, name and ``min`` or ``max`` each.
    """
    directory = Path(directory)
    stats = read_stats(directory)
    for phase, name, mode in ([word.strip() for word in words] for words in criteria):
        ranked = rank_epochs(stats, phase, name, mode)
        link = directory / f"{phase}.{name}.best.pth"
        best = f"{next(iter(ranked), None)}epoch.pth"
        if not (directory / best).is_file():
            continue
        if not link.is_symlink() or os.readlink(link) != best:
            temporary = link.with_name(f".{link.name}.tmp")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(best)
            os.replace(temporary, link)
