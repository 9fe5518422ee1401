"""Dynamic time warping of many pairs of sequences at once.

The distance of two sequences is the mean distance along the cheapest path from their first
frames to their last, by steps of one frame in either or in both. Cheapest paths may differ in
length; as in the field's programs (ZeroSpeech, fastabx) it is traced from the end, where a step
in both comes before one in the second sequence, and that before one in the first.

Legend: P pairs, T and U frames of a pair's sequences, padded, D width, M frames of all items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

CELLS_AT_ONCE = 1 << 21  # of all pairs' matrices: 8 MiB each of costs, lengths and distances
VALUES_AT_ONCE = 1 << 24  # features gathered for them: 64 MiB

Local = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Frames:
    """Angular distance between feature frames, arccos(cos) / π.

    Args:
        features: (M, D) float32; a frame of zeros is half-way from every other.
        device: where to compute.
    """

    def __init__(self, features: np.ndarray, device: str = "cpu") -> None:
        frames = torch.from_numpy(np.asarray(features, dtype=np.float32)).to(device)
        norm = torch.linalg.vector_norm(frames, dim=1, keepdim=True)
        self._frames = frames / norm.clamp_min(torch.finfo(torch.float32).tiny)
        self.width = frames.shape[1]
        self.device = self._frames.device

    def __call__(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """(P, T) and (P, U) int64 frames to (P, T, U) distances in 0..1."""
        cosine: torch.Tensor = self._frames[rows] @ self._frames[columns].transpose(1, 2)
        return cosine.clamp_(-1, 1).acos_() / math.pi


class Units:
    """Distance between units: a table's, or 0 where they are equal and 1 where not.

    Args:
        units: (M,) int, the unit of each frame.
        table: (K, K) float32 distances between units; ``None`` for one-hot vectors (whose
            angular distance is half of 0 and 1, which changes no comparison).
        device: where to compute.
    """

    width = 1

    def __init__(
        self, units: np.ndarray, table: torch.Tensor | None = None, device: str = "cpu"
    ) -> None:
        self._units = torch.from_numpy(np.asarray(units, dtype=np.int64)).to(device)
        self._table = None if table is None else table.to(device)
        self.device = self._units.device

    def __call__(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """(P, T) and (P, U) int64 frames to (P, T, U) float32 distances."""
        first, second = self._units[rows][:, :, None], self._units[columns][:, None, :]
        if self._table is None:
            return (first != second).float()
        return self._table[first, second]


def centroid_table(centroids: np.ndarray) -> torch.Tensor:
    """(K, K) angular distances between (K, D) centroids, exactly 0 on the diagonal."""
    every = torch.arange(len(centroids))[None]
    table = Frames(centroids)(every, every)[0]
    return table.fill_diagonal_(0.0)


def pair_distances(
    local: Frames | Units, starts: np.ndarray, lengths: np.ndarray, pairs: np.ndarray
) -> np.ndarray:
    """Distance of each pair of items.

    Args:
        local: between frames.
        starts: (I,) first frame of each item.
        lengths: (I,) frames of each item, at least 1.
        pairs: (P, 2) items: the first's frames are rows, the second's columns.

    Returns:
        (P,) float32.
    """
    found = np.zeros(len(pairs), dtype=np.float32)
    for chunk in _chunks(lengths[pairs], local.width):
        sides = [pairs[chunk, side] for side in (0, 1)]
        rows, columns = (
            torch.from_numpy(_frames_of(starts[items], lengths[items])).to(local.device)
            for items in sides
        )
        sizes = [torch.from_numpy(lengths[items]).to(local.device) for items in sides]
        found[chunk] = warp(local(rows, columns), *sizes).cpu().numpy()
    return found


def _chunks(sizes: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Indices of (P, 2) ``sizes``, similar ones together, in bounded memory."""
    order = np.lexsort((sizes[:, 1], sizes[:, 0]))
    begin = 0
    while begin < len(order):
        end = begin + 1
        # doubled while it fits: rows are sorted, columns only within equal rows
        for size in 1 << np.arange(1, 20):
            high = sizes[order[begin : begin + size]].max(axis=0)
            gathered = size * int(high.sum()) * width
            if size * int(high.prod()) > CELLS_AT_ONCE or gathered > VALUES_AT_ONCE:
                break
            end = begin + int(size)
            if end >= len(order):
                break
        yield order[begin:end]
        begin = end


def _frames_of(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(P, longest) int64 frames of each item; its last one again where it is shorter."""
    steps = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
    return np.asarray(starts[:, None] + steps, dtype=np.int64)


def warp(distances: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Mean distance along the cheapest path.

    Args:
        distances: (P, T, U) float between frames; padding may hold anything finite.
        rows: (P,) int64, frames of the first sequence, 1..T.
        columns: (P,) int64, frames of the second, 1..U.

    Returns:
        (P,) of the same dtype.
    """
    count, height, width = distances.shape
    local = distances.permute(1, 2, 0).contiguous()  # (T, U, P): each step is one vector
    cost = local.clone()
    length = torch.ones_like(local)
    cost[:, 0] = local[:, 0].cumsum(dim=0)
    cost[0] = local[0].cumsum(dim=0)
    length[:, 0] += torch.arange(height, device=local.device)[:, None]
    length[0] += torch.arange(width, device=local.device)[:, None]
    for i in range(1, height):
        for j in range(1, width):
            up, left, both = cost[i - 1, j], cost[i, j - 1], cost[i - 1, j - 1]
            aside = torch.minimum(left, up)
            steps = torch.where(left <= up, length[i, j - 1], length[i - 1, j])
            cost[i, j] += torch.minimum(both, aside)
            length[i, j] += torch.where(both <= aside, length[i - 1, j - 1], steps)
    every = torch.arange(count, device=local.device)
    last = (rows - 1, columns - 1, every)
    return cost[last] / length[last]
