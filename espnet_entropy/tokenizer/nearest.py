"""The nearest centroid of each frame, the same whatever the chunk, the batch or the device.

The matrix product ‖c‖² − 2 x·c decides nearly all frames. Its last bits depend on the shape
of the product, so a frame whose best two centroids are closer than the rounding error could
fall either way: those few are decided again from their differences in float64, and true ties
go to the lowest index.

Legend: N frames, D width, K centroids.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

import torch

UNIT_ROUNDOFF = 2.0**-24  # of float32
# Centroids whose distances differ by less than this share count as equally near: float64 sums
# of a few thousand squares agree to about 1e-13 in any order.
TIE = 1e-12
ROWS_AT_ONCE = 64  # decided in float64 together: bounds the memory if all centroids are near
SCORES_AT_ONCE = 1 << 20  # scores in one chunk: 4 MiB, about a core's cache
SCORES_AT_ONCE_GPU = 1 << 25  # 128 MiB: each chunk waits for the GPU twice


class NearestCentroid:
    """Finds nearest centroids.

    Args:
        centroids: (K, D) float32 on the device that shall compute.
    """

    def __init__(self, centroids: torch.Tensor) -> None:
        self.centroids = centroids
        at_once = SCORES_AT_ONCE_GPU if centroids.is_cuda else SCORES_AT_ONCE
        self.chunk = max(1, at_once // len(centroids))
        self._transposed = centroids.t().contiguous()
        self._squares = centroids.double().square().sum(dim=1).float()
        self._longest = float(self._squares.max().sqrt())

    def __call__(
        self, frames: torch.Tensor, noise: float = 0.0
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Assign (N, D) float32 frames.

        Args:
            frames: on the device of the centroids.
            noise: relative error ‖δ‖/‖x‖ that the frames may carry.

        Returns:
            (N,) int64 nearest centroids; (N,) bool, True where an error within ``noise`` could
            change the answer.
        """
        if len(frames) == 0:
            return torch.zeros_like(frames[:, 0], dtype=torch.int64), torch.zeros(0).bool()
        pieces = [self._chunk(piece, noise) for piece in self._split(frames)]
        units, doubtful = (torch.cat(parts) for parts in zip(*pieces, strict=True))
        return units, doubtful

    def rough(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As the product gives it, near-ties by rounding: (N,) units, (N,) squared distances."""
        pieces = [_best(self._scores(piece)) for piece in self._split(frames)]
        units = torch.cat([piece[0] for piece in pieces])
        scores = torch.cat([piece[1] for piece in pieces])
        return units, (scores + frames.square().sum(dim=1)).clamp_min(0.0)

    def _split(self, frames: torch.Tensor) -> list[torch.Tensor]:
        return [frames[i : i + self.chunk] for i in range(0, len(frames), self.chunk)]

    def _scores(self, frames: torch.Tensor) -> torch.Tensor:
        """(n, K) squared distances less ‖x‖²."""
        with _full_precision():
            return torch.addmm(self._squares, frames, self._transposed, alpha=-2.0)

    def _chunk(self, frames: torch.Tensor, noise: float) -> tuple[torch.Tensor, torch.Tensor]:
        squares = frames.square().sum(dim=1)
        scores = self._scores(frames)
        units, best = _best(scores)
        # the second best, and with it the question whether it could be the best
        scores.scatter_(1, units[:, None], torch.inf)
        second = scores.amin(dim=1)
        scores.scatter_(1, units[:, None], best[:, None])
        # |error of a score| <= (D + 2) u (2 ‖x‖ ‖c‖ + ‖c‖²); two scores, so twice that
        length = squares.sqrt()
        size = 2 * length * self._longest + self._longest**2
        error = 2 * (frames.shape[1] + 2) * UNIT_ROUNDOFF * size
        limit, rows = (best + error)[:, None], second <= best + error
        if noise:  # δ moves ‖x - c‖² - ‖x - c'‖² by 2 δ·(c' - c), at most 2 ‖δ‖ ‖c' - c‖
            limit = limit + 2 * noise * length[:, None] * self._apart[units]  # (n, K)
            rows = (scores <= limit).sum(dim=1) > 1
        doubtful = torch.zeros_like(rows)
        where = rows.nonzero()[:, 0]
        for few in torch.split(where, ROWS_AT_ONCE) if len(where) else ():
            close = scores[few] <= limit[few]
            units[few], doubtful[few] = self._decide(frames[few], close, noise)
        return units, doubtful

    @cached_property
    def _apart(self) -> torch.Tensor:
        """(K, K) distances between centroids, without the cancellation of a matrix product."""
        mode = "donot_use_mm_for_euclid_dist"
        return torch.cdist(self.centroids, self.centroids, compute_mode=mode)

    def _decide(
        self, frames: torch.Tensor, close: torch.Tensor, noise: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Nearest of the ``close`` (n, K) candidates of each (n, D) frame, from float64.

        Also (n,) bool: whether ``noise`` could make it another one.
        """
        rows, index = close.nonzero(as_tuple=True)
        difference = self.centroids[index].double() - frames[rows].double()
        distance = difference.square().sum(dim=1)
        least = distance.new_full((len(frames),), torch.inf)
        least.scatter_reduce_(0, rows, distance, "amin")
        tied = distance <= least[rows] * (1 + TIE)
        units = torch.full_like(least, len(self.centroids), dtype=torch.int64)
        units.scatter_reduce_(0, rows[tied], index[tied], "amin")
        doubtful = torch.zeros(len(frames), dtype=torch.bool, device=frames.device)
        if noise:
            length = torch.linalg.vector_norm(frames, dim=1)
            reach = 2 * noise * length[rows] * self._apart[units[rows], index]
            rivals = (index != units[rows]) & (distance <= least[rows] * (1 + TIE) + reach)
            doubtful[rows[rivals]] = True
        return units, doubtful


def _best(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Index and value of the least of each row of (n, K) scores."""
    if scores.is_cuda:
        units = scores.argmin(dim=1)
    else:  # numpy's is vectorized, seven times as fast as torch's on a CPU
        units = torch.from_numpy(scores.numpy().argmin(axis=1))
    return units, scores.gather(1, units[:, None])[:, 0]


@contextmanager
def _full_precision() -> Iterator[None]:
    """Plain float32 products, even where the program allows TF32 or bfloat16 ones."""
    before = torch.get_float32_matmul_precision()
    if before == "highest":
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
