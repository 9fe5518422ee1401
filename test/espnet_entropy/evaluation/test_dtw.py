import math

import numpy as np
import pytest
import torch

from espnet_entropy.evaluation import dtw
from espnet_entropy.evaluation.dtw import Frames, Units, centroid_table, pair_distances, warp


def slow_warp(distances: np.ndarray) -> float:
    """One pair by recursion: the cheapest path, traced from its end."""
    costs: dict[tuple[int, int], float] = {}

    def cost(i: int, j: int) -> float:
        if min(i, j) < 0:
            return math.inf
        if (i, j) not in costs:
            before = min(cost(i - 1, j), cost(i, j - 1), cost(i - 1, j - 1))
            costs[i, j] = float(distances[i, j]) + (0.0 if i == j == 0 else before)
        return costs[i, j]

    i, j = np.array(distances.shape) - 1
    total, steps = cost(i, j), 1
    while (i, j) != (0, 0):
        # in order of preference; min takes the first of equals
        i, j = min([(i - 1, j - 1), (i, j - 1), (i - 1, j)], key=lambda place: cost(*place))
        steps += 1
    return total / steps


@pytest.mark.parametrize("tied", [False, True])
def test_paths_against_a_slow_one(tied):
    generator = np.random.default_rng(tied)
    rows, columns = generator.integers(1, 9, (2, 60))
    distances = generator.random((60, 8, 8)).astype(np.float32)
    if tied:  # small whole numbers: many cheapest paths, of different lengths
        distances = generator.integers(0, 3, (60, 8, 8)).astype(np.float32)
    found = warp(torch.from_numpy(distances), torch.from_numpy(rows), torch.from_numpy(columns))
    expected = [slow_warp(d[:r, :c]) for d, r, c in zip(distances, rows, columns, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_pairs_in_pieces(monkeypatch):
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 12, 15)
    starts = np.cumsum([0, *lengths[:-1]])
    frames = generator.normal(size=(lengths.sum(), 5)).astype(np.float32)
    pairs = generator.integers(0, 15, (80, 2))
    whole = pair_distances(Frames(frames), starts, lengths, pairs)
    monkeypatch.setattr(dtw, "CELLS_AT_ONCE", 300)
    pieces = pair_distances(Frames(frames), starts, lengths, pairs)
    np.testing.assert_allclose(pieces, whole, atol=1e-3)  # acos near 0 in float32
    unit = frames / np.linalg.norm(frames, axis=1, keepdims=True)
    angles = np.arccos(np.clip(unit.astype(np.float64) @ unit.T, -1, 1)) / np.pi
    spans = [slice(s, s + n) for s, n in zip(starts, lengths, strict=True)]
    expected = [slow_warp(angles[spans[i], spans[j]]) for i, j in pairs if i != j]
    np.testing.assert_allclose(whole[pairs[:, 0] != pairs[:, 1]], expected, atol=2e-6)
    assert pair_distances(Frames(frames), starts, lengths, pairs[:0]).shape == (0,)


def test_units_are_one_hot_vectors():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 9, 12)
    starts = np.cumsum([0, *lengths[:-1]])
    units = generator.integers(0, 4, lengths.sum())
    pairs = generator.integers(0, 12, (50, 2))
    one_hot = pair_distances(Frames(np.eye(4)[units]), starts, lengths, pairs)
    found = pair_distances(Units(units), starts, lengths, pairs)
    np.testing.assert_allclose(one_hot, found / 2, atol=1e-6)


def test_units_by_their_centroids():
    generator = np.random.default_rng(0)
    centroids = generator.normal(size=(6, 3)).astype(np.float32)
    units, lengths = generator.integers(0, 6, 24), np.full(4, 6)
    starts, pairs = 6 * np.arange(4), np.array([[0, 1], [2, 3], [1, 2]])
    found = pair_distances(Units(units, centroid_table(centroids)), starts, lengths, pairs)
    frames = pair_distances(Frames(centroids[units]), starts, lengths, pairs)
    np.testing.assert_allclose(found, frames, atol=1e-3)  # acos near 0 in float32
    assert np.diag(centroid_table(centroids)).tolist() == [0] * 6


def test_a_frame_of_zeros_is_half_way():
    frames = Frames(np.array([[0, 0], [1, 0], [-1, 0]], np.float32))
    every = torch.arange(3)[None]
    np.testing.assert_allclose(frames(every, every)[0, 1], [0.5, 0.0, 1.0], atol=1e-6)
    assert np.isfinite(frames(every, every)).all()
