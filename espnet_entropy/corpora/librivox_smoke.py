"""Nine audiobook clips of native readers: to see that the plumbing holds."""

from __future__ import annotations

from pathlib import Path

from espnet_entropy.corpora.alignment import AlignmentInfo
from espnet_entropy.corpora.data_dir import DataDir, write_data_dir


def prepare(source: Path, out: Path) -> None:
    """Write ``<out>/librivox`` (two speakers; five of the nine clips are aligned).

    Args:
        source: the folder that holds ``all/`` and ``audio/``.
        out: where the data directory goes.
    """
    data = DataDir.read(source / "all", base=source)
    info = AlignmentInfo(source="pocketsphinx", note="automatic, not checked: plumbing tests only")
    write_data_dir(out / "librivox", data.utterances(), data.speakers, info)
