import numpy as np
import pytest
import torch

from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.nearest import NearestCentroid


def slow(frames: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    difference = frames[:, None].astype(np.float64) - centroids[None].astype(np.float64)
    return (difference**2).sum(-1).argmin(1)


@pytest.mark.parametrize(("clusters", "dim"), [(2, 1), (7, 3), (200, 39), (50, 768)])
def test_equals_brute_force_in_float64(clusters: int, dim: int):
    random = np.random.default_rng(clusters)
    centroids = random.normal(size=(clusters, dim)).astype(np.float32)
    frames = (random.normal(size=(300, dim)) + 5).astype(np.float32)
    units = KMeansQuantizer(centroids).assign(frames)
    assert units.dtype == np.int32
    np.testing.assert_array_equal(units, slow(frames, centroids))


def near_ties(count: int, dim: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Frames within float32 rounding of the middle between two of 40 centroids, far from 0."""
    random = np.random.default_rng(3)
    centroids = (random.normal(size=(40, dim)) + 30).astype(np.float32)
    pairs = random.integers(0, 40, size=(count, 2))
    middle = centroids[pairs].astype(np.float64).mean(1)
    return (middle + 1e-6 * random.normal(size=middle.shape)).astype(np.float32), centroids


def test_near_ties_do_not_depend_on_the_chunk():
    frames, centroids = near_ties(2000)
    nearest = NearestCentroid(torch.from_numpy(centroids))
    whole, _ = nearest(torch.from_numpy(frames))
    np.testing.assert_array_equal(whole.numpy(), slow(frames, centroids))
    for chunk in (1, 7, 64, 1999):
        nearest.chunk = chunk
        np.testing.assert_array_equal(nearest(torch.from_numpy(frames))[0].numpy(), whole.numpy())


def test_the_product_alone_would_not_do():
    frames, centroids = near_ties(2000)  # the reason for the decision in float64
    rough, _ = NearestCentroid(torch.from_numpy(centroids)).rough(torch.from_numpy(frames))
    assert (rough.numpy() != slow(frames, centroids)).any()


def test_ties_go_to_the_lowest_index():
    random = np.random.default_rng(0)
    half = random.normal(size=(20, 33)).astype(np.float32)
    units = KMeansQuantizer(np.concatenate([half, half, half])).assign(half[::-1])
    np.testing.assert_array_equal(units, np.arange(20)[::-1])
    assert KMeansQuantizer(np.array([[1.0], [-1.0]], np.float32)).assign(np.zeros((1, 1))) == [0]


def test_doubtful_frames_are_exactly_those_that_noise_can_move():
    centroids = np.array([[0.0, 0.0], [10.0, 0.0]], np.float32)
    frames = torch.tensor([[1.0, 0.0], [4.999, 0.0]])
    nearest = NearestCentroid(torch.from_numpy(centroids))
    _, doubtful = nearest(frames, noise=1e-3)
    assert doubtful.tolist() == [False, True]
    assert not nearest(frames, noise=0.0)[1].any()


def test_no_noise_moves_a_frame_that_is_not_doubtful():
    """Of the true distances in float64; a product of 768 terms alone would doubt far more."""
    random, noise = np.random.default_rng(4), 1e-3
    centroids = (random.normal(size=(60, 768)) + 1).astype(np.float32)
    frames = centroids[random.integers(0, 60, 3000)] + random.normal(size=(3000, 768))
    mixed = random.random((3000, 1)) * 0.02 + 0.49  # of two centroids: near ties of every degree
    pairs = centroids[random.integers(0, 60, (2, 3000))]
    frames[::3] = (mixed * pairs[0] + (1 - mixed) * pairs[1])[::3]
    frames = frames.astype(np.float32)
    nearest = NearestCentroid(torch.from_numpy(centroids))
    units, doubtful = nearest(torch.from_numpy(frames), noise)
    x, c = frames.astype(np.float64), centroids.astype(np.float64)
    distance = (x**2).sum(1)[:, None] - 2 * x @ c.T + (c**2).sum(1)  # to 1e-12
    np.testing.assert_array_equal(units, distance.argmin(1))
    apart = np.sqrt(((c[:, None] - c) ** 2).sum(-1))
    reach = 2 * noise * np.linalg.norm(x, axis=1)[:, None] * apart[units]
    near = distance - distance.min(1)[:, None] <= reach
    expected = near.sum(1) > 1
    np.testing.assert_array_equal(doubtful, expected)
    assert 20 < expected.sum() < 1000
    for chunk in (7, 1000):
        nearest.chunk = chunk
        np.testing.assert_array_equal(nearest(torch.from_numpy(frames), noise)[1], doubtful)


def test_no_frames():
    assert KMeansQuantizer(np.eye(3, dtype=np.float32)).assign(np.zeros((0, 3))).shape == (0,)


def test_reduced_precision_of_the_program_is_ignored():
    frames, centroids = near_ties(200)
    expected = KMeansQuantizer(centroids).assign(frames)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        np.testing.assert_array_equal(KMeansQuantizer(centroids).assign(frames), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
