"""Fitting centroids: k-means++ and Lloyd's passes over frames on disk, resumable.

The passes run over growing strided subsets, a sixty-fourth of the frames first, so that only
the last few have to read everything. The state after each pass is one small file; a fit that
was killed goes on from there and ends with the same centroids, bit for bit.

Legend: N frames, D width, K centroids.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from espnet_entropy.tokenizer.config import KMeansConfig
from espnet_entropy.tokenizer.nearest import NearestCentroid
from espnet_entropy.utils.files import atomic_write, fingerprint

CHUNK = 1 << 14  # frames in memory at once
STRIDES = (64, 16, 4, 1)
FRAMES_PER_CLUSTER = 40  # the least that a subset must offer to be worth a pass
COARSE_TOLERANCE = 5e-3  # a subset's own optimum is not worth more passes
STARTS = 4  # tried on the smallest subset; the best goes on
START_PASSES = 5
RESEEDS = 64  # dead centroids mended in one pass


@dataclass(frozen=True)
class KMeansFit:
    """The outcome of a fit.

    Attributes:
        centroids: (K, D) float32.
        inertia: mean squared distance per frame, one per pass over all frames; the last one
            belongs to ``centroids``.
        counts: (K,) int64 frames of each centroid.
    """

    centroids: np.ndarray
    inertia: list[float]
    counts: np.ndarray

    def report(self) -> dict[str, object]:
        """Inertia and usage as plain values: entropy in nats, perplexity, dead clusters."""
        share = self.counts[self.counts > 0] / self.counts.sum()
        entropy = float(-np.sum(share * np.log(share)))
        return {
            "num_frames": int(self.counts.sum()),
            "inertia": self.inertia,
            "usage_entropy": entropy,
            "usage_perplexity": math.exp(entropy),
            "dead_clusters": int(np.sum(self.counts == 0)),
            "smallest_cluster": int(self.counts.min()),
            "largest_cluster": int(self.counts.max()),
        }


@dataclass
class _State:
    """Where a fit stands: everything that decides how it goes on."""

    centroids: torch.Tensor
    level: int = 0
    inertia: list[float] = field(default_factory=list)  # of this level


def fit_kmeans(
    frames: np.ndarray,
    config: KMeansConfig,
    state: str | Path | None = None,
    device: str = "cpu",
) -> KMeansFit:
    """Fit K centroids.

    Args:
        frames: (N, D) float32, for instance a memory-mapped file; read in pieces of
            ``CHUNK`` rows, never as a whole.
        config: K, seed, passes and tolerance.
        state: file that holds the state between passes; a later call with the same frames
            and configuration goes on from it.
        device: where to compute.

    Raises:
        ValueError: if there are fewer (different) frames than clusters, or frames are not
            finite.
    """
    assert frames.ndim == 2, frames.shape
    assert config.num_clusters is not None, config
    if len(frames) < config.num_clusters:
        raise ValueError(
            f"k-means: {len(frames)} frames are too few for {config.num_clusters} clusters; "
            "give more audio, raise max_frames or lower num_clusters."
        )
    key = fingerprint(
        {"config": asdict(config), "shape": frames.shape, "sample": frames[::997][:64].tolist()}
    )
    current = _load_state(state, key, device)
    least = min(len(frames), FRAMES_PER_CLUSTER * config.num_clusters)
    strides = [s for s in STRIDES if s == 1 or len(frames) // s >= least]
    if current is None:
        current = _State(_best_start(frames, strides[0], config, device))
        _save_state(state, key, current)
    while True:
        last = current.level == len(strides) - 1
        means, inertia, counts = _pass(frames, strides[current.level], current.centroids)
        history = current.inertia
        history.append(inertia)
        place = (strides[current.level], len(history))
        logging.info("k-means: 1/%d of the frames, pass %d: inertia %.6g", *place, inertia)
        tolerance = config.tolerance if last else max(config.tolerance, COARSE_TOLERANCE)
        done = len(history) > 1 and history[-2] - inertia <= tolerance * history[-2]
        done = done and bool((counts > 0).all())
        if done or len(history) >= config.max_iterations:
            if last:
                return KMeansFit(current.centroids.cpu().numpy(), history, counts.cpu().numpy())
            current.level, current.inertia = current.level + 1, []
        current.centroids = means
        _save_state(state, key, current)


def _chunks(frames: np.ndarray, stride: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Every ``stride``-th frame, (<= CHUNK, D) at a time."""
    for begin in range(0, len(frames), CHUNK * stride):
        piece = frames[begin : begin + CHUNK * stride : stride]
        yield torch.from_numpy(np.array(piece, dtype=np.float32)).to(device)


def _pass(
    frames: np.ndarray, stride: int, centroids: torch.Tensor
) -> tuple[torch.Tensor, float, torch.Tensor]:
    """One Lloyd pass: the new means (K, D), the mean squared distance, the counts (K,)."""
    nearest = NearestCentroid(centroids)
    sums = torch.zeros_like(centroids, dtype=torch.float64)
    counts = torch.zeros(len(centroids), dtype=torch.int64, device=centroids.device)
    total, seen = 0.0, 0
    farthest = (centroids.new_zeros(0), centroids.new_zeros(0, centroids.shape[1]))
    for chunk in _chunks(frames, stride, centroids.device):
        units, distances = nearest.rough(chunk)
        sums += _sums_by_unit(chunk, units, len(centroids))
        counts += torch.bincount(units, minlength=len(centroids))
        total += float(distances.sum(dtype=torch.float64))
        seen += len(chunk)
        farthest = _farthest(farthest, distances, chunk)
    if not math.isfinite(total):
        raise ValueError("k-means: frames are NaN or infinite; check the audio and the features.")
    used = counts > 0
    means = centroids.clone()
    means[used] = (sums[used] / counts[used, None]).float()
    dead = (~used).nonzero()[:, 0][: len(farthest[0])]
    means[dead] = farthest[1][: len(dead)]
    return means, total / seen, counts


def _sums_by_unit(frames: torch.Tensor, units: torch.Tensor, clusters: int) -> torch.Tensor:
    """(K, D) float64 sums; on every device in one order, so that a rerun gives the same bits."""
    if frames.is_cuda:  # atomic adds come in any order: a product with 0 and 1 does not
        return torch.nn.functional.one_hot(units, clusters).t().double() @ frames.double()
    sums = torch.zeros(clusters, frames.shape[1], dtype=torch.float64)
    return sums.index_add_(0, units, frames.double())


def _farthest(
    best: tuple[torch.Tensor, torch.Tensor], distances: torch.Tensor, frames: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The ``RESEEDS`` frames farthest from their centroids so far: distances and frames."""
    top = distances.topk(min(RESEEDS, len(distances)))
    merged = torch.cat([best[0], top.values])
    rows = torch.cat([best[1], frames[top.indices]])
    keep = merged.topk(min(RESEEDS, len(merged))).indices
    return merged[keep], rows[keep]


def _best_start(frames: np.ndarray, stride: int, config: KMeansConfig, device: str) -> torch.Tensor:
    """(K, D) centroids: the best of a few starts after some passes over the smallest subset."""
    found: list[tuple[float, torch.Tensor]] = []
    for start in range(STARTS):
        random = np.random.default_rng([config.seed, start])
        centroids = _plus_plus(frames, stride, config, device, random)
        for _ in range(START_PASSES):
            centroids, inertia, _ = _pass(frames, stride, centroids)
        found.append((inertia, centroids))
    return min(found, key=lambda pair: pair[0])[1]


def _plus_plus(
    frames: np.ndarray,
    stride: int,
    config: KMeansConfig,
    device: str,
    random: np.random.Generator,
) -> torch.Tensor:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): (K, D) first centroids.

    Each next one is the best of a few frames drawn in proportion to their squared distance.
    """
    assert config.num_clusters is not None, config
    step = max(stride, len(frames) // max(20_000, FRAMES_PER_CLUSTER * config.num_clusters))
    pool = torch.cat(list(_chunks(frames, step, torch.device(device))))
    if not bool(torch.isfinite(pool).all()):
        raise ValueError("k-means: frames are NaN or infinite; check the audio and the features.")
    squares = pool.square().sum(dim=1)
    trials = 2 + int(math.log(config.num_clusters))
    chosen = [int(random.integers(len(pool)))]
    distances = (pool - pool[chosen[0]]).square().sum(dim=1)
    while len(chosen) < config.num_clusters:
        cumulative = distances.cpu().numpy().astype(np.float64).cumsum()
        if not cumulative[-1] > 0:
            raise ValueError(
                f"k-means: only {len(chosen)} different frames among {len(pool)}, fewer than "
                f"{config.num_clusters} clusters; lower num_clusters or check for silent audio."
            )
        draws = np.searchsorted(cumulative, random.random(trials) * cumulative[-1], side="right")
        picks = torch.from_numpy(np.minimum(draws, len(pool) - 1)).to(pool.device)
        candidates = (squares + squares[picks, None] - 2 * pool[picks] @ pool.t()).clamp_min(0.0)
        candidates[torch.arange(trials), picks] = 0.0
        candidates = torch.minimum(candidates, distances)
        best = int(candidates.sum(dim=1, dtype=torch.float64).argmin())
        chosen.append(int(picks[best]))
        distances = candidates[best]
    return pool[chosen].clone()


def _save_state(path: str | Path | None, key: str, state: _State) -> None:
    from safetensors.torch import save

    if path is None:
        return
    progress = {"key": key, "level": state.level, "inertia": state.inertia}
    with atomic_write(path, "wb") as stream:
        tensors = {"centroids": state.centroids.cpu().contiguous()}
        stream.write(save(tensors, {"progress": json.dumps(progress)}))


def _load_state(path: str | Path | None, key: str, device: str) -> _State | None:
    from safetensors import safe_open

    if path is None or not Path(path).is_file():
        return None
    with safe_open(str(path), "pt") as stored:
        progress = json.loads(stored.metadata()["progress"])
        if progress["key"] != key:
            return None  # another fit's: begin anew
        centroids = stored.get_tensor("centroids").to(device)
    return _State(centroids, progress["level"], progress["inertia"])
