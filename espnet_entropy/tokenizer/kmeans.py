"""The k-means quantizer: a codebook of centroids, saved as safetensors and YAML.

Legend: N frames, D width, K codebook size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from espnet_entropy.tokenizer.nearest import NearestCentroid
from espnet_entropy.utils.config import read_yaml, write_yaml
from espnet_entropy.utils.files import atomic_write, fingerprint

WEIGHTS = "quantizer.safetensors"
DESCRIPTION = "quantizer.yaml"


class KMeansQuantizer:
    """Assigns each feature frame the index of its nearest centroid.

    Args:
        centroids: (K, D) float32, finite.
        device: where to compute.
        info: facts to keep beside the centroids (inertia, usage, origin).

    Raises:
        ValueError: if the centroids are not a finite (K >= 2, D) matrix.
    """

    def __init__(
        self, centroids: np.ndarray, device: str = "cpu", info: dict[str, Any] | None = None
    ) -> None:
        centroids = np.asarray(centroids)
        if centroids.ndim != 2 or len(centroids) < 2 or centroids.shape[1] < 1:
            raise ValueError(
                f"k-means centroids: expected a (K, D) matrix with K >= 2, got {centroids.shape}."
            )
        if not np.issubdtype(centroids.dtype, np.floating) or not np.isfinite(centroids).all():
            raise ValueError(
                f"k-means centroids: expected finite floating-point numbers, got {centroids.dtype}"
                " with NaN, infinite or other values; the codebook is damaged: copy it "
                "again or fit anew."
            )
        self.centroids = np.ascontiguousarray(centroids, dtype=np.float32)
        self.info = dict(info or {})
        self.fingerprint = fingerprint({"quantizer": "kmeans"}, {"centroids": self.centroids})
        self._device = torch.device(device)
        self._nearest = NearestCentroid(torch.from_numpy(self.centroids).to(self._device))

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.centroids)

    @property
    def dim(self) -> int:
        """D."""
        return int(self.centroids.shape[1])

    def assign(self, features: np.ndarray) -> np.ndarray:
        """Units of (N, D) float32 features.

        Returns:
            (N,) int32; ties go to the lowest index, and a frame's unit does not depend on the
            frames around it.

        Raises:
            ValueError: if the width differs or a feature is not finite.
        """
        return self.assign_doubtful(features, 0.0)[0]

    def assign_doubtful(self, features: np.ndarray, noise: float) -> tuple[np.ndarray, bool]:
        """Units, and whether a relative error up to ``noise`` in a frame could change any."""
        frames = torch.from_numpy(np.ascontiguousarray(features, dtype=np.float32))
        units, doubtful = self.assign_frames(frames, noise)
        return units, bool(doubtful.any())

    def assign_frames(self, frames: torch.Tensor, noise: float) -> tuple[np.ndarray, np.ndarray]:
        """Units of frames on any device, and which of them an error could change.

        Args:
            frames: (N, D) float32.
            noise: the largest relative error of a frame.

        Returns:
            (N,) int32 units, and (N,) bool: whether another could be nearest within the error.

        Raises:
            ValueError: for frames of another width, or that are not finite.
        """
        if frames.ndim != 2 or frames.shape[1] != self.dim:
            raise ValueError(
                f"k-means: expected features of shape (N, {self.dim}), got "
                f"{tuple(frames.shape)}; quantizer and features do not belong together."
            )
        if not bool(torch.isfinite(frames).all()):
            raise ValueError("k-means: features are NaN or infinite; check the audio and model.")
        units, doubtful = self._nearest(frames.to(self._device), noise)
        return units.to("cpu", torch.int32).numpy(), doubtful.cpu().numpy()

    def save(self, directory: str | Path) -> None:
        """Write ``quantizer.safetensors`` and ``quantizer.yaml`` into ``directory``."""
        from safetensors.numpy import save

        directory = Path(directory)
        with atomic_write(directory / WEIGHTS, "wb") as stream:
            stream.write(save({"centroids": self.centroids}))
        write_yaml(
            directory / DESCRIPTION,
            {
                "quantizer": "kmeans",
                "num_clusters": self.num_clusters,
                "dim": self.dim,
                "fingerprint": self.fingerprint,
                **self.info,
            },
        )

    @classmethod
    def load(cls, directory: str | Path, device: str = "cpu") -> KMeansQuantizer:
        """Read what :meth:`save` wrote.

        Raises:
            ValueError: if a file is missing or damaged, or if they do not belong together.
        """
        weights, description = Path(directory) / WEIGHTS, Path(directory) / DESCRIPTION
        info = read_yaml(description)
        if info.pop("quantizer", None) != "kmeans":
            raise ValueError(f"{description}: expected 'quantizer: kmeans'.")
        try:
            quantizer = cls(_read_centroids(weights), device)
        except ValueError as error:
            raise ValueError(f"{weights}: {error}") from error
        for name in ("num_clusters", "dim", "fingerprint"):
            expected, found = info.pop(name, None), getattr(quantizer, name)
            if expected != found:
                raise ValueError(
                    f"{weights}: {name} is {found}, but {description.name} says {expected}; "
                    "the two files do not belong together: copy both again."
                )
        quantizer.info = info
        return quantizer


def _read_centroids(path: Path) -> np.ndarray:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        raise ValueError("no such file.")
    try:
        tensors = load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"not a readable safetensors file ({error}); copy it again.") from error
    if set(tensors) != {"centroids"}:
        raise ValueError(f"expected one tensor 'centroids', got {sorted(tensors)}.")
    return np.asarray(tensors["centroids"])
