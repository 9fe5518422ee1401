"""What masked prediction predicts: clusters of MFCC first, then of a layer of the last model.

All of it is computed from packed sets, without audio: the cepstra are those of the levels, 40 bands
instead of MFCC's 23. Which layer is best is told by PNMI on the units of the valid set whose phone
is known.

Legend: N units, D width, K clusters, L layers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from espnet_entropy.evaluation.unit_counts import count_units, joint_counts
from espnet_entropy.ssl.batches import DeviceSet, plan_batches
from espnet_entropy.ssl.packed import NO_PHONE, PackedSet
from espnet_entropy.tokenizer.config import KMeansConfig
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.lloyd import fit_kmeans
from espnet_entropy.tokenizer.mel_encoder import MelEncoder
from espnet_entropy.tokenizer.mel_levels import NUM_BANDS, STEP
from espnet_entropy.tokenizer.mel_model_dir import load_encoder
from espnet_entropy.tokenizer.mfcc import cosines, normalize_utterance, with_differences
from espnet_entropy.tokenizer.speech_model import reproducible
from espnet_entropy.utils.files import atomic_write, fingerprint
from espnet_entropy.utils.progress import progress

MAX_UNITS = 20_000  # of a batch
FILE = "targets.safetensors"


@dataclass(frozen=True)
class Targets:
    """A cluster for each unit of two packed sets.

    Attributes:
        train: (Σ N,) int32.
        valid: (Σ N,) int32.
        num_clusters: K.
        about: plain values: the packed sets' keys, where the clusters are from, PNMI of layers.
    """

    train: np.ndarray
    valid: np.ndarray
    num_clusters: int
    about: dict[str, Any]

    @property
    def key(self) -> str:
        """Fingerprint of the clusters."""
        arrays = {"train": self.train, "valid": self.valid}
        return fingerprint({"num_clusters": self.num_clusters}, arrays)

    def check(self, train: PackedSet, valid: PackedSet) -> None:
        """Raise ``ValueError`` if they are of other sets."""
        if (self.about["train"], self.about["valid"]) != (train.key, valid.key):
            raise ValueError("targets: made for other packed sets; make them anew.")

    def save(self, path: str | Path) -> None:
        """Write one file."""
        arrays = {"train": self.train, "valid": self.valid}
        about = {"about": json.dumps({"num_clusters": self.num_clusters, **self.about})}
        with atomic_write(path, "wb") as stream:
            stream.write(save(arrays, metadata=about))

    @classmethod
    def load(cls, path: str | Path) -> Targets:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: if it is missing or damaged.
        """
        try:
            with safe_open(path, "numpy") as file:
                about = json.loads(file.metadata()["about"])
                arrays = {name: file.get_tensor(name) for name in ("train", "valid")}
            return cls(**arrays, num_clusters=about.pop("num_clusters"), about=about)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: no readable targets ({error}); make them again.") from None


def mfcc_targets(
    train: PackedSet, valid: PackedSet, config: KMeansConfig, device: str = "cpu"
) -> Targets:
    """Clusters of MFCC: the first iteration."""
    frames = [packed_mfcc(packed) for packed in (train, valid)]
    quantizer, found = cluster_frames(frames, config, device)
    about = {"features": "mfcc", "pnmi": pnmi(found[1], valid, quantizer.num_clusters)}
    return _targets(train, valid, config, found, about)


def layer_targets(
    train: PackedSet,
    valid: PackedSet,
    model: str | Path,
    config: KMeansConfig,
    layers: Sequence[int] | None = None,
    device: str = "cpu",
) -> Targets:
    """Clusters of the layer of a mel encoder whose PNMI is highest; the others' is noted.

    Args:
        train: where k-means is fitted.
        valid: where PNMI is counted.
        model: directory of the encoder.
        config: the fit.
        layers: candidates; all but layer 0, if not given. One needs no aligned phones.
        device: where to compute.

    Raises:
        ValueError: for an unusable model, or several layers and no aligned phones.
    """
    encoder, _ = load_encoder(model)
    candidates = list(layers or range(1, encoder.config.layers + 1))
    if not set(candidates) <= set(range(encoder.config.layers + 1)):
        raise ValueError(f"layers: {candidates}; expected 0..{encoder.config.layers}.")
    if len(candidates) > 1 and (valid.aligned == NO_PHONE).all():
        raise ValueError(
            "layers: the valid set has no aligned phones (ctm.phones) to choose by; name one layer."
        )
    found: dict[int, list[np.ndarray]] = {}
    table: dict[int, float] = {}
    for layer in progress(candidates, "layers", unit="layer"):
        frames = [layer_frames(packed, encoder, layer, device) for packed in (train, valid)]
        quantizer, found[layer] = cluster_frames(frames, config, device)
        table[layer] = pnmi(found[layer][1], valid, quantizer.num_clusters)
        logging.info("%s: layer %d: PNMI %.4f", model, layer, table[layer])
    best = max(candidates, key=lambda layer: table[layer])
    about = {
        "features": "mel_encoder",
        "layer": best,
        "pnmi": table[best],
        "layers": {str(k): v for k, v in table.items()},
    }
    return _targets(train, valid, config, found[best], about)


def packed_mfcc(packed: PackedSet) -> np.ndarray:
    """(Σ N, 39) float32: normalized cepstra and their differences, utterance after utterance."""
    ends = np.cumsum(packed.frames)
    pieces = []
    for begin, end in zip(ends - packed.frames, ends, strict=True):
        nepers = packed.levels[begin:end:2].astype(np.float32) * np.float32(STEP)
        rows = with_differences(nepers @ cosines(NUM_BANDS), start=True, end=True)
        pieces.append(normalize_utterance(rows))
    return np.concatenate(pieces)


def layer_frames(packed: PackedSet, encoder: MelEncoder, layer: int, device: str) -> np.ndarray:
    """(Σ N, D) float32 of a layer, utterance after utterance."""
    on_device = DeviceSet(packed, device)
    encoder = encoder.to(device)
    frames = np.zeros((int(packed.units.sum()), encoder.config.width), np.float32)
    ends = np.cumsum(packed.units)
    for index in plan_batches(packed.units, MAX_UNITS, 0, 0):
        batch = on_device.batch(index)
        with torch.inference_mode(), reproducible():
            states = encoder(batch.levels, batch.lengths, layers=layer)[-1].float().cpu().numpy()
        for row, utt in zip(states, index, strict=True):
            count = packed.units[utt]
            frames[ends[utt] - count : ends[utt]] = row[:count]
    return frames


def pnmi(clusters: np.ndarray, packed: PackedSet, num_clusters: int) -> float:
    """Of the units whose phone is known; NaN if there is none.

    Args:
        clusters: (Σ N,).
        packed: with aligned phones.
        num_clusters: K.
    """
    known = packed.aligned != NO_PHONE
    if not known.any():
        return float("nan")
    units, phones = [clusters[known]], [packed.aligned[known].astype(np.int64)]
    joint = joint_counts(units, phones, num_clusters, len(packed.aligned_names))
    return float(count_units(units, phones, [1.0], joint).pooled().pnmi)


def cluster_frames(
    frames: Sequence[np.ndarray], config: KMeansConfig, device: str = "cpu"
) -> tuple[KMeansQuantizer, list[np.ndarray]]:
    """K-means fitted on the first of several sets of frames (Σ N, D); the clusters of each.

    The sample is every n-th frame of what lies in memory; ``tokenizer.fit`` draws its own utterance
    by utterance, since it never has them all.
    """
    stride = -(-len(frames[0]) // config.max_frames)  # rounded up: never more than these
    fit = fit_kmeans(frames[0][::stride], config, device=device)
    quantizer = KMeansQuantizer(fit.centroids, device, fit.report())
    return quantizer, [quantizer.assign(one) for one in frames]


def _targets(
    train: PackedSet,
    valid: PackedSet,
    config: KMeansConfig,
    found: Sequence[np.ndarray],
    about: dict[str, Any],
) -> Targets:
    assert config.num_clusters is not None, config
    keys = {"train": train.key, "valid": valid.key}
    return Targets(found[0], found[1], config.num_clusters, keys | about)
