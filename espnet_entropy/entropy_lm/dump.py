"""``dump/units/<set>``: the units of a set, as the tokenizer stage leaves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from espnet_entropy.utils.ark import Arrays
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
        entries: ``<ark>:<offset>`` by utterance, in the order of the file.
        meta: what ``meta.yaml`` holds.

    Raises:
        ValueError: if a file is missing or empty, or a line is not ``<utt> <ark>:<offset>``.
    """

    def __init__(self, scp: str | Path) -> None:
        self.scp = Path(scp)
        if not self.scp.is_file():
            raise ValueError(f"{self.scp}: no such file; run the tokenizer stage first.")
        self.meta = read_meta(self.scp.parent / "meta.yaml")
        self._arrays = Arrays.load(self.scp)
        self.entries = self._arrays.entries
        if not self.entries:
            raise ValueError(f"{self.scp}: holds no utterance; run the tokenizer stage again.")

    @property
    def num_clusters(self) -> int:
        """K of the tokenizer."""
        return int(self.meta["num_clusters"])

    def load(self, utterance: str, where: str | None = None) -> np.ndarray:
        """Units (N,) of an utterance; N may be 0.

        Args:
            utterance: its id.
            where: its entry, if that is known; then the id is for messages alone.

        Raises:
            ValueError: if the archive cannot be read there or holds no integer vector.
        """
        units = self._arrays.load_at(utterance, where or self.entries[utterance])
        if units.ndim != 1:
            raise ValueError(
                f"{self.scp}: {utterance}: expected a vector of int32, got a matrix of "
                f"{units.dtype}; run the tokenizer stage again."
            )
        return units
