"""``per_utt.json``: the counts of every utterance, which comparisons of systems are made from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.evaluation.transcripts import Transcripts
from espnet_entropy.evaluation.wer import KINDS, ErrorCounts
from espnet_entropy.utils.files import atomic_write

FILE = "per_utt.json"
_COUNTS = ("hits", "substitutions", "deletions", "insertions")


@dataclass(frozen=True)
class PerUtterance:
    """Counts of U utterances, as one model made them.

    Attributes:
        where: the file.
        test_set: its name.
        utts: U ids, sorted.
        speakers: U names, or ``None``.
        in_train: (U,) bool, or ``None``.
        counts: for ``words`` and ``characters``.
    """

    where: Path
    test_set: str
    utts: list[str]
    speakers: list[str] | None
    in_train: np.ndarray | None
    counts: dict[str, ErrorCounts]


def write_per_utt(
    path: str | Path, test_set: str, texts: Transcripts, counts: Mapping[str, ErrorCounts]
) -> None:
    """Write one line per utterance, so that eyes and ``grep`` can read the file as well.

    Args:
        path: of the file.
        test_set: its name.
        texts: U utterances.
        counts: of these, for ``words`` and ``characters``.
    """
    tables = {kind: counts[kind].as_dict() for kind in KINDS}
    with atomic_write(path) as stream:
        stream.write(f'{{"task": "asr", "test_set": {json.dumps(test_set)}, "utterances": [')
        for i, utt in enumerate(texts.utts):
            row: dict[str, Any] = {"utt": utt}
            row["speaker"] = None if texts.speakers is None else texts.speakers[i]
            row["in_train"] = None if texts.in_train is None else bool(texts.in_train[i])
            row["missing"] = bool(texts.missing[i])
            for kind, table in tables.items():
                row[kind] = {name: values[i] for name, values in table.items()}
            stream.write(("," if i else "") + "\n" + json.dumps(row, ensure_ascii=False))
        stream.write("\n]}\n")


def read_per_utt(directory: str | Path) -> PerUtterance:
    """Read ``per_utt.json`` of a score directory.

    Raises:
        ValueError: naming the file, if it is missing or not of this form.
    """
    path = Path(directory) / FILE
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; expected a score directory (exp/asr_*/decode/<set>). Run stage "
            "'score' first."
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = content["utterances"]
        speakers = [row["speaker"] for row in rows]
        in_train = [row["in_train"] for row in rows]
        counts = {
            kind: ErrorCounts(
                *(np.array([row[kind][name] for row in rows], dtype=np.float64) for name in _COUNTS)
            )
            for kind in KINDS
        }
        return PerUtterance(
            where=path,
            test_set=str(content["test_set"]),
            utts=[str(row["utt"]) for row in rows],
            speakers=None if None in speakers else [str(speaker) for speaker in speakers],
            in_train=None if None in in_train else np.array(in_train, dtype=bool),
            counts=counts,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: not readable ({error!r}); expected what score_asr writes. Score again."
        ) from error
