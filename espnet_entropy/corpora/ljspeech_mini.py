"""32 clips of LJSpeech with real Montreal Forced Aligner output: for boundary figures."""

from __future__ import annotations

from pathlib import Path

from espnet_entropy.corpora.alignment import AlignmentInfo
from espnet_entropy.corpora.data_dir import DataDir, write_data_dir


def prepare(source: Path, out: Path) -> None:
    """Write ``<out>/lj`` (one speaker; words and phones aligned by MFA, ARPAbet with stress).

    Args:
        source: the folder that holds ``lj/`` and ``audio/``.
        out: where the data directory goes.
    """
    data = DataDir.read(source / "lj", base=source)
    info = AlignmentInfo(source="Montreal Forced Aligner")
    write_data_dir(out / "lj", data.utterances(), data.speakers, info)
