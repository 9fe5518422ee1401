"""Our archives as ESPnet's data types: ``scored`` and ``units``, read without kaldiio; and texts.

``--train_data_path_and_name_and_type dump/scored/train/scored.scp,speech,scored``. ESPnet's own
``kaldi_ark`` reads the same files, but chooses a reader by their content, one of which unpickles.
ESPnet's ``text`` is a dict, here a large file stays on disk. With these, a process that reads data
holds the lines of no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from espnet_entropy.segmenter.scored import check_scored
from espnet_entropy.utils.ark import Arrays
from espnet_entropy.utils.config import read_yaml
from espnet_entropy.utils.scp import read_table


class ScoredReader(Mapping[str, np.ndarray]):
    """The matrices of a ``scored.scp``, each read and checked when it is asked for.

    Args:
        path: ``scored.scp``; a ``meta.yaml`` beside it says how many units there are.

    Raises:
        ValueError: if the file is missing or a line is not ``<utt> <ark>:<offset>``.
    """

    def __init__(self, path: str | Path) -> None:
        self._arrays = Arrays.load(path)
        meta = Path(path).parent / "meta.yaml"
        self.num_clusters = read_yaml(meta).get("num_clusters") if meta.is_file() else None

    def __getitem__(self, utterance: str) -> np.ndarray:
        """(N, 2) float32: unit and entropy in nats.

        Raises:
            ValueError: naming file and utterance, for anything that is no such matrix.
        """
        where = f"{self._arrays.name}: {utterance}"
        matrix = check_scored(self._arrays[utterance], where)
        if self.num_clusters is not None and matrix[:, 0].max() >= self.num_clusters:
            raise ValueError(
                f"{where}: unit {matrix[:, 0].max():g}, but meta.yaml says that there are "
                f"{self.num_clusters} (0 .. {self.num_clusters - 1}); score the set anew."
            )
        return matrix.astype(np.float32, copy=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


class UnitsReader(Mapping[str, np.ndarray]):
    """The int32 vectors of a ``packed.scp`` or ``units.scp``, each read when it is asked for.

    Args:
        path: the scp file.

    Raises:
        ValueError: if the file is missing or a line is not ``<key> <ark>:<offset>``.
    """

    def __init__(self, path: str | Path) -> None:
        self._arrays = Arrays.load(path)

    def __getitem__(self, key: str) -> np.ndarray:
        """(N,) int32.

        Raises:
            ValueError: naming file and key, if no vector of whole numbers lies there.
        """
        units = self._arrays[key]
        if units.ndim != 1 or units.dtype.kind != "i":
            raise ValueError(
                f"{self._arrays.name}: {key}: expected a vector of int32, got {units.dtype} of "
                f"shape {units.shape}; make the file again (tokenize, pack_units)."
            )
        return units

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def read_text(path: str) -> Mapping[str, str]:
    """``<key> <text>`` lines, for ESPnet's type ``text``.

    Raises:
        ValueError: as :func:`espnet_entropy.utils.scp.read_table`.
    """
    return read_table(path, allow_empty=True)


def read_entry(where: str) -> np.ndarray:
    """The array at ``<archive>:<offset>``, for ESPnet's iterable data set."""
    return Arrays({"": where}, "data")[""]


def register_data_types() -> None:
    """Make ``scored``, ``units`` and our ``text`` known to ESPnet; may be called again."""
    from espnet2.train import dataset, iterable_dataset

    ours = {
        "scored": {"func": ScoredReader, "kwargs": [], "help": "scored.scp: (N, 2) unit, entropy"},
        "units": {"func": UnitsReader, "kwargs": [], "help": "packed.scp: (N,) int32 units"},
    }
    theirs = {key: value for key, value in dataset.DATA_TYPES.items() if key not in ours}
    # ESPnet takes the first name that the type begins with, and it has one called 'score'
    dataset.DATA_TYPES.clear()
    dataset.DATA_TYPES.update(ours | theirs)
    dataset.DATA_TYPES["text"].update(func=read_text, kwargs=[])
    iterable_dataset.DATA_TYPES.update(dict.fromkeys(ours, read_entry))
