"""A training set without audio: mel levels, phone labels and aligned phones in a small directory.

``levels.xz`` holds each frame's difference to the frame before (modulo 256), compressed: 2.4 kB per
second of speech, a thirteenth of 16-bit audio. ``tables.safetensors`` has the rest, ``packed.yaml``
the names. What was packed on one machine trains on another, without audio or its decoders.

Legend: U utterances, N units of an utterance, J = 2 N - 1 level frames.
"""

from __future__ import annotations

import lzma
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from espnet_entropy.tokenizer.mel_levels import NUM_BANDS, num_frames
from espnet_entropy.utils.config import read_yaml, write_yaml
from espnet_entropy.utils.files import atomic_write, fingerprint

LEVELS, TABLES, DESCRIPTION = "levels.xz", "tables.safetensors", "packed.yaml"
NO_PHONE = 255  # aligned phone of a unit whose utterance has no alignment


@dataclass
class PackedSet:
    """Utterances one behind the other.

    Attributes:
        utts: U ids.
        units: (U,) int64, N of each.
        levels: (Σ J, 40) uint8.
        labels: phone strings one behind the other, uint8 indices into ``label_names``.
        label_lengths: (U,) int64; 0 for an utterance without labels.
        aligned: (Σ N,) uint8 index into ``aligned_names`` of each unit's phone, or ``NO_PHONE``.
        label_names: phones of the labels.
        aligned_names: phones of the alignments, silence first.
    """

    utts: list[str]
    units: np.ndarray
    levels: np.ndarray
    labels: np.ndarray
    label_lengths: np.ndarray
    aligned: np.ndarray
    label_names: list[str] = field(default_factory=list)
    aligned_names: list[str] = field(default_factory=list)

    @property
    def frames(self) -> np.ndarray:
        """(U,) int64, J of each utterance."""
        return 2 * self.units - 1

    @property
    def key(self) -> str:
        """Fingerprint of the whole content."""
        arrays = {name: getattr(self, name) for name in ("levels", *_TABLE_NAMES)}
        return fingerprint({"utts": self.utts, "labels": self.label_names}, arrays)

    def save(self, directory: str | Path) -> None:
        """Write the set; ``packed.yaml`` comes last."""
        directory = Path(directory)
        differences = np.diff(self.levels, axis=0, prepend=np.zeros((1, NUM_BANDS), np.uint8))
        with atomic_write(directory / LEVELS, "wb") as stream:
            stream.write(lzma.compress(differences.tobytes()))
        with atomic_write(directory / TABLES, "wb") as stream:
            stream.write(save({name: getattr(self, name) for name in _TABLE_NAMES}))
        content = {
            "utterances": len(self.utts),
            "seconds": round(float(self.units.sum()) / 50, 1),
            "bytes": sum((directory / name).stat().st_size for name in (LEVELS, TABLES)),
            "key": self.key,
            "label_names": self.label_names,
            "aligned_names": self.aligned_names,
            "utts": self.utts,
        }
        write_yaml(directory / DESCRIPTION, content)

    @classmethod
    def load(cls, directory: str | Path) -> PackedSet:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: naming a file that is missing, damaged or of another set.
        """
        directory = Path(directory)
        info = read_description(directory)
        try:
            tables = load((directory / TABLES).read_bytes())
            differences = np.frombuffer(
                lzma.decompress((directory / LEVELS).read_bytes()), np.uint8
            )
            levels = np.cumsum(differences.reshape(-1, NUM_BANDS), axis=0, dtype=np.uint8)
            packed = cls(
                info["utts"],
                tables["units"],
                levels,
                tables["labels"],
                tables["label_lengths"],
                tables["aligned"],
                info["label_names"],
                info["aligned_names"],
            )
        except (OSError, lzma.LZMAError, SafetensorError, KeyError, ValueError) as error:
            raise ValueError(
                f"{directory}: cannot be read ({error}); copy or pack it again."
            ) from None
        if packed.key != info.get("key"):
            raise ValueError(
                f"{directory}: its files do not belong together; copy or pack it again."
            )
        return packed


def read_description(directory: str | Path) -> dict[str, Any]:
    """What ``packed.yaml`` says.

    Raises:
        ValueError: if it is missing.
    """
    path = Path(directory) / DESCRIPTION
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a packed set. Run stage 'pack'.")
    return read_yaml(path)


_TABLE_NAMES = ("units", "labels", "label_lengths", "aligned")


def join(
    utterances: Sequence[tuple[str, np.ndarray]],
    labels: Sequence[Sequence[int]],
    aligned: Sequence[np.ndarray],
    label_names: Sequence[str] = (),
    aligned_names: Sequence[str] = (),
) -> PackedSet:
    """A set of utterances given one by one.

    Args:
        utterances: id and (J, 40) uint8 levels of each.
        labels: indices of its phones; none for no labels.
        aligned: (N,) of each, as ``PackedSet.aligned``.
        label_names: phones of the labels.
        aligned_names: phones of the alignments.
    """
    units = np.array([(len(levels) + 1) // 2 for _, levels in utterances], np.int64)
    assert all(num_frames(n) == len(x) for n, (_, x) in zip(units, utterances, strict=True))
    assert all(len(a) == n for n, a in zip(units, aligned, strict=True))
    return PackedSet(
        utts=[utt for utt, _ in utterances],
        units=units,
        levels=np.concatenate([levels for _, levels in utterances]),
        labels=np.concatenate([np.asarray(one, np.uint8) for one in labels]),
        label_lengths=np.array([len(one) for one in labels], np.int64),
        aligned=np.concatenate([np.asarray(one, np.uint8) for one in aligned]),
        label_names=list(label_names),
        aligned_names=list(aligned_names),
    )
