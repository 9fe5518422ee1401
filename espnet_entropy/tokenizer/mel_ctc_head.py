"""The CTC head of a mel encoder: ``ctc_head.safetensors`` beside ``model.safetensors``.

It aligns phones; units do without it, and so does the encoder. Its weights are rounded to float16
as the encoder's are. In the metadata of the same file stand the names of its classes and the
fingerprint of the encoder that it was trained with.

Legend: N frames, D width, C classes, the first of them CTC's blank.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from espnet_entropy.tokenizer.mel_model_dir import read_description
from espnet_entropy.utils.files import atomic_write, fingerprint

HEAD = "ctc_head.safetensors"
BLANK, BLANK_ID = "<blank>", 0  # of the first class
_ABOUT = "ctc_head"  # the only key of the metadata: with several, their order is left to chance


@dataclass(frozen=True, eq=False)
class CTCHead:
    """A linear map from the frames of an encoder's last layer to CTC's classes.

    Attributes:
        labels: C names, ``BLANK`` and the phones.
        weight: (C, D) float32.
        bias: (C,) float32.
    """

    labels: list[str]
    weight: np.ndarray
    bias: np.ndarray

    def log_probs(self, frames: np.ndarray) -> np.ndarray:
        """(N, D) float32 frames to (N, C) float32 log-probabilities, natural log."""
        from scipy.special import log_softmax

        result: np.ndarray = log_softmax(frames @ self.weight.T + self.bias, axis=1)
        return result

    def save(self, directory: str | Path) -> None:
        """Write the head beside the encoder, which is there already.

        Raises:
            ValueError: if there is no encoder, or weights do not fit into 16 bits.
        """
        path = Path(directory) / HEAD
        encoder = read_description(directory)["fingerprint"]
        with np.errstate(over="ignore"):  # contiguous: safetensors writes memory as it lies
            arrays = {
                name: np.ascontiguousarray(getattr(self, name), np.float16)
                for name in ("weight", "bias")
            }
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ValueError(f"{path}: weights beyond 16 bits; train again.")
        about = {"labels": self.labels, "encoder": encoder}
        about["fingerprint"] = fingerprint(about, arrays)
        with atomic_write(path, "wb") as stream:
            stream.write(save(arrays, {_ABOUT: json.dumps(about)}))

    @classmethod
    def load(cls, directory: str | Path) -> CTCHead:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: if the file is missing, damaged, or belongs to another encoder.
        """
        path = Path(directory) / HEAD
        if not path.is_file():
            raise ValueError(
                f"{path}: no such file; expected the CTC head beside an encoder trained with "
                "ctc_weight: exp/train_ctc/model, not exp/units/model."
            )
        try:
            with safe_open(path, "np") as file:
                about = json.loads(file.metadata()[_ABOUT])
                arrays = {name: file.get_tensor(name) for name in ("weight", "bias")}
            whole = about.pop("fingerprint") == fingerprint(about, arrays)
            labels, encoder = about["labels"], about["encoder"]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a readable CTC head ({error}); copy it again.") from None
        if not whole:
            raise ValueError(f"{path}: damaged; copy it again.")
        if encoder != read_description(directory)["fingerprint"]:
            raise ValueError(
                f"{path}: trained with another encoder than the one beside it; copy both again."
            )
        return cls(labels, *(np.float32(arrays[name]) for name in ("weight", "bias")))
