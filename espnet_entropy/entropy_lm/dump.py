"""``dump/units/<set>``: the units of a set, as the tokenizer stage leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kaldiio
import numpy as np

from espnet_entropy.utils.config import read_yaml


def read_meta(path: str | Path) -> dict[str, Any]:
    """A ``meta.yaml`` that has at least ``tokenizer`` (fingerprint) and ``num_clusters``.

    Raises:
        ValueError: if the file or one of the two is missing or of the wrong kind.
    """
    meta = read_yaml(path)
    for key, kind in (("tokenizer", str), ("num_clusters", int)):
        if not isinstance(meta.get(key), kind):
            raise ValueError(
                f"{path}: expected '{key}' ({kind.__name__}), got {meta.get(key)!r}; make the "
                "units again with this toolkit's tokenizer stage."
            )
    return meta


class UnitDump:
    """Units of a set: ``units.scp`` and the ``meta.yaml`` beside it.

    Args:
        scp: path of ``units.scp``.

    Attributes:
        utterances: ids, in the order of the file.
        meta: what ``meta.yaml`` holds.

    Raises:
        ValueError: if a file is missing or empty, or a line is not ``<utt> <ark>:<offset>``.
    """

    def __init__(self, scp: str | Path) -> None:
        self.scp = Path(scp)
        if not self.scp.is_file():
            raise ValueError(f"{self.scp}: no such file; run the tokenizer stage first.")
        self.meta = read_meta(self.scp.parent / "meta.yaml")
        self._where: dict[str, str] = {}
        for number, line in enumerate(self.scp.read_text(encoding="utf-8").splitlines(), 1):
            fields = line.split()
            # also keeps Kaldi's pipes out: kaldiio would run them
            if len(fields) != 2 or ":" not in fields[1] or fields[1].endswith("|"):
                raise ValueError(f"{self.scp}:{number}: expected '<utt> <ark>:<offset>': {line!r}")
            self._where[fields[0]] = fields[1]
        if not self._where:
            raise ValueError(f"{self.scp}: holds no utterance; run the tokenizer stage again.")
        self.utterances = list(self._where)

    @property
    def num_clusters(self) -> int:
        """K of the tokenizer."""
        return int(self.meta["num_clusters"])

    def load(self, utterance: str) -> np.ndarray:
        """Units (N,) of an utterance; N may be 0.

        Raises:
            ValueError: if the archive cannot be read there or holds no integer vector.
        """
        where = self._where[utterance]
        try:
            units = kaldiio.load_mat(where)
        except (OSError, ValueError, AssertionError, IndexError, RuntimeError) as error:
            raise ValueError(f"{utterance}: cannot read {where}: {error}") from error
        if not isinstance(units, np.ndarray) or units.ndim != 1 or units.dtype.kind != "i":
            kind = getattr(units, "dtype", type(units).__name__)
            raise ValueError(f"{utterance}: {where}: expected a vector of int32, got {kind}.")
        return units
