import numpy as np
import pytest

from espnet_entropy.tokenizer import lloyd
from espnet_entropy.tokenizer.config import KMeansConfig
from espnet_entropy.tokenizer.lloyd import fit_kmeans


def blobs(count: int, dim: int = 8, centres: int = 60, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    means = 3 * random.normal(size=(centres, dim))
    chosen = random.integers(0, centres, count)
    return (means[chosen] + random.normal(size=(count, dim))).astype(np.float32)


def inertia_of(frames: np.ndarray, centroids: np.ndarray) -> float:
    distances = ((frames[:, None].astype(float) - centroids[None].astype(float)) ** 2).sum(-1)
    return float(distances.min(1).mean())


def test_as_good_as_scikit_learn():
    from sklearn.cluster import KMeans, MiniBatchKMeans

    # one fit in a few may end in a poor optimum, theirs as ours: compare means over seeds
    frames = blobs(10_000)
    seeds = range(4)
    ours = [fit_kmeans(frames, KMeansConfig(num_clusters=40, seed=seed)) for seed in seeds]
    for fit in ours[:2]:
        assert fit.inertia[-1] == pytest.approx(inertia_of(frames, fit.centroids), rel=1e-5)
    mean = np.mean([fit.inertia[-1] for fit in ours]) * len(frames)
    batch = [MiniBatchKMeans(40, random_state=seed, n_init=3).fit(frames) for seed in seeds]
    full = [KMeans(40, random_state=seed, n_init=1).fit(frames) for seed in seeds]
    assert mean <= 1.01 * np.mean([estimator.inertia_ for estimator in batch])
    assert mean <= 1.02 * np.mean([estimator.inertia_ for estimator in full])


def test_inertia_falls_and_usage_is_counted():
    frames = blobs(5000)
    fit = fit_kmeans(frames, KMeansConfig(num_clusters=16, tolerance=0.0, max_iterations=8))
    assert all(b <= a for a, b in zip(fit.inertia, fit.inertia[1:], strict=False))
    distances = ((frames[:, None].astype(float) - fit.centroids[None]) ** 2).sum(-1)
    counts = np.bincount(distances.argmin(1), minlength=16)
    np.testing.assert_array_equal(fit.counts, counts)
    report = fit.report()
    share = counts / counts.sum()
    assert report["usage_perplexity"] == pytest.approx(np.exp(-(share * np.log(share)).sum()))
    assert report["dead_clusters"] == 0


FIRST_STATE = lloyd.STARTS * lloyd.START_PASSES  # passes before there is anything to go on from


@pytest.mark.parametrize("after", [0, 1, 4, 7, -1])  # passes after the first state; -1: the last
def test_a_killed_fit_ends_with_the_same_bits(tmp_path, monkeypatch, after):
    config = KMeansConfig(num_clusters=20, tolerance=0.0, max_iterations=5)
    frames = blobs(20_000)
    passes, killed_at = 0, None
    original = lloyd._pass

    def counting(*args):
        nonlocal passes
        passes += 1
        if passes == killed_at:
            raise KeyboardInterrupt
        return original(*args)

    monkeypatch.setattr(lloyd, "_pass", counting)
    whole = fit_kmeans(frames, config, tmp_path / "whole")
    all_passes, passes = passes, 0
    killed_at = all_passes if after == -1 else FIRST_STATE + after + 1
    assert FIRST_STATE < killed_at <= all_passes
    with pytest.raises(KeyboardInterrupt):
        fit_kmeans(frames, config, tmp_path / "state")
    assert (tmp_path / "state").is_file()
    passes, killed_at = killed_at - 1, None
    resumed = fit_kmeans(frames, config, tmp_path / "state")
    assert passes == all_passes  # it went on with the pass it was in, it did not begin anew
    assert resumed.centroids.tobytes() == whole.centroids.tobytes()
    assert resumed.inertia == whole.inertia


def test_state_of_another_fit_is_not_used(tmp_path):
    frames = blobs(5000)
    fit_kmeans(frames, KMeansConfig(num_clusters=8), tmp_path / "state")
    config = KMeansConfig(num_clusters=8, seed=1)
    other = fit_kmeans(frames, config, tmp_path / "state")
    np.testing.assert_array_equal(other.centroids, fit_kmeans(frames, config).centroids)


def test_memory_mapped_chunks_give_the_same(tmp_path, monkeypatch):
    frames = blobs(9000)
    np.save(tmp_path / "frames.npy", frames)
    stored = np.load(tmp_path / "frames.npy", mmap_mode="r")
    config = KMeansConfig(num_clusters=10)
    whole = fit_kmeans(frames, config)
    np.testing.assert_array_equal(fit_kmeans(stored, config).centroids, whole.centroids)
    monkeypatch.setattr(lloyd, "CHUNK", 1000)  # sums in another order: the same up to rounding
    assert fit_kmeans(stored, config).inertia[-1] == pytest.approx(whole.inertia[-1], rel=1e-3)


def test_dead_clusters_are_seeded_again(monkeypatch):
    import torch

    frames = blobs(4000, centres=12)

    def bad_start(*_):
        start = torch.full((12, 8), 1e3) + torch.arange(12)[:, None]
        start[0] = 0.0  # takes every frame: eleven dead centroids
        return start

    monkeypatch.setattr(lloyd, "_best_start", bad_start)
    fit = fit_kmeans(frames, KMeansConfig(num_clusters=12))
    assert (fit.counts > 0).all()
    assert np.abs(fit.centroids).max() < 50


def test_different_seeds_differ():
    frames = blobs(3000)
    one, two = (fit_kmeans(frames, KMeansConfig(num_clusters=8, seed=s)) for s in (0, 1))
    assert not np.array_equal(one.centroids, two.centroids)


def test_too_few_or_equal_or_bad_frames():
    config = KMeansConfig(num_clusters=8)
    with pytest.raises(ValueError, match="too few for 8 clusters"):
        fit_kmeans(blobs(7), config)
    with pytest.raises(ValueError, match="only 3 different frames"):
        fit_kmeans(np.repeat(np.eye(3, dtype=np.float32), 100, axis=0), config)
    bad = blobs(100)
    bad[50, 3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        fit_kmeans(bad, config)
