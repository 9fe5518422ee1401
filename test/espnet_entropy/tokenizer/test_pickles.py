import os
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans

from espnet_entropy.bin import convert_quantizer
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.pickles import read_kmeans

FRAMES = np.random.default_rng(0).normal(size=(300, 5))


def fitted(kind: str):
    estimators = {
        "KMeans": KMeans(7, n_init=1, random_state=0),
        "KMeans_init_array": KMeans(7, init=FRAMES[:7], n_init=1),
        "MiniBatchKMeans": MiniBatchKMeans(7, n_init=1, random_state=np.random.RandomState(3)),
        "BisectingKMeans": BisectingKMeans(7, random_state=0),
    }
    return estimators[kind]


@pytest.mark.parametrize(
    "kind", ["KMeans", "KMeans_init_array", "MiniBatchKMeans", "BisectingKMeans"]
)
@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_joblib_files(tmp_path, kind, compress, dtype):
    estimator = fitted(kind).fit(FRAMES.astype(dtype))
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        joblib.dump(estimator, tmp_path / "km.bin", compress=compress, protocol=protocol)
        centroids, name = read_kmeans(tmp_path / "km.bin")
        np.testing.assert_array_equal(centroids, estimator.cluster_centers_.astype(np.float32))
        assert name == type(estimator).__name__


@pytest.mark.parametrize("kind", ["KMeans", "MiniBatchKMeans"])
def test_plain_pickles(tmp_path, kind):
    estimator = fitted(kind).fit(FRAMES)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "km.pkl").write_bytes(pickle.dumps(estimator, protocol=protocol))
        centroids, _ = read_kmeans(tmp_path / "km.pkl")
        np.testing.assert_array_equal(centroids, estimator.cluster_centers_.astype(np.float32))


def test_fortran_order_and_big_endian(tmp_path):
    estimator = fitted("KMeans").fit(FRAMES)
    expected = estimator.cluster_centers_.astype(np.float32)
    for array in (np.asfortranarray(expected), expected.astype(">f8")):
        estimator.cluster_centers_ = array
        joblib.dump(estimator, tmp_path / "km.bin")
        np.testing.assert_array_equal(read_kmeans(tmp_path / "km.bin")[0], expected)
        (tmp_path / "km.pkl").write_bytes(pickle.dumps(estimator))
        np.testing.assert_array_equal(read_kmeans(tmp_path / "km.pkl")[0], expected)


def test_module_names_of_old_versions(tmp_path):
    """sklearn.cluster.k_means_ and numpy.core, as in the files that fairseq published."""
    estimator = fitted("MiniBatchKMeans").fit(FRAMES)
    content = pickle.dumps(estimator, protocol=0)
    for new, old in (
        (b"sklearn.cluster._kmeans", b"sklearn.cluster.k_means_"),
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
    ):
        assert new in content
        content = content.replace(new, old)
    (tmp_path / "km.bin").write_bytes(content)
    centroids, _ = read_kmeans(tmp_path / "km.bin")
    np.testing.assert_array_equal(centroids, estimator.cluster_centers_.astype(np.float32))


class Bomb:
    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_would_run_code_is_refused(tmp_path, protocol):
    ran = tmp_path / "ran"
    for bomb in (Bomb(os.system, f"touch {ran}"), Bomb(eval, f"open({str(ran)!r}, 'w')")):
        estimator = fitted("KMeans").fit(FRAMES)
        estimator.bomb = bomb
        joblib.dump(estimator, tmp_path / "km.bin", protocol=protocol)
        with pytest.raises(
            ValueError, match=r"refused, nothing of it was run: .*'.*\.(system|eval)"
        ):
            read_kmeans(tmp_path / "km.bin")
        assert not ran.exists()
    pickle.loads(pickle.dumps(Bomb(os.system, f"touch {ran}"), protocol=protocol))
    assert ran.exists()  # the bomb is a real one


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "os.system"),
        (b"(S'true'\nios\nsystem\n.", "os.system"),
        (b"(cos\nsystem\nS'true'\no.", "os.system"),
        (b"\x80\x02csklearn.cluster\nKMeans.x\n.", "KMeans.x"),
        (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval"),
        (b"Pid\n.", "outside of the file"),
        (b"\x80\x02\x82\x01.", "extension code 1"),
        (b"]I1\n\x85R.", "calls a list"),
        (b"]}b.", "sets the state of a list"),
        (b"\x80\x02]q\x00.", "holds list"),
        (b"not a pickle", "not a readable k-means pickle"),
        (b"", "not a readable k-means pickle"),
        (b"\x78\x9c\x00", "not a readable k-means pickle"),
    ],
)
def test_other_streams_are_refused(tmp_path, content, message):
    path = tmp_path / "km.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_kmeans(path)


def test_truncated_files_never_crash(tmp_path):
    joblib.dump(fitted("KMeans").fit(FRAMES), tmp_path / "km.bin")
    content = (tmp_path / "km.bin").read_bytes()
    for size in range(0, len(content) - 1, 97):
        (tmp_path / "cut.bin").write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"cut\.bin"):
            read_kmeans(tmp_path / "cut.bin")


def test_corrupt_files_give_an_error_or_numbers(tmp_path):
    joblib.dump(fitted("KMeans").fit(FRAMES), tmp_path / "km.bin")
    content = bytearray((tmp_path / "km.bin").read_bytes())
    random = np.random.default_rng(0)
    for _ in range(300):
        broken = content.copy()
        for place in random.integers(0, min(900, len(broken)), 3):
            broken[place] = random.integers(0, 256)
        (tmp_path / "cut.bin").write_bytes(broken)
        try:
            assert read_kmeans(tmp_path / "cut.bin")[0].ndim == 2
        except ValueError as error:
            assert "cut.bin" in str(error)  # noqa: PT017


def test_object_arrays_are_refused(tmp_path):
    estimator = fitted("KMeans").fit(FRAMES)
    estimator.cluster_centers_ = np.array([[Path("x")]], dtype=object)
    (tmp_path / "km.bin").write_bytes(pickle.dumps(estimator))
    with pytest.raises(ValueError, match="refused"):
        read_kmeans(tmp_path / "km.bin")


def test_unfitted(tmp_path):
    joblib.dump(KMeans(3), tmp_path / "km.bin")
    with pytest.raises(ValueError, match="was it fitted"):
        read_kmeans(tmp_path / "km.bin")


def test_command(tmp_path):
    estimator = fitted("MiniBatchKMeans").fit(FRAMES.astype(np.float32))
    joblib.dump(estimator, tmp_path / "km.bin")
    convert_quantizer.main([str(tmp_path / "km.bin"), "--out", str(tmp_path / "out")])
    quantizer = KMeansQuantizer.load(tmp_path / "out")
    assert quantizer.info["origin_class"] == "MiniBatchKMeans"
    found = quantizer.assign(FRAMES.astype(np.float32))
    np.testing.assert_array_equal(found, estimator.predict(FRAMES.astype(np.float32)))
    config = tmp_path / "tokenizer.yaml"
    config.write_text("features: mfcc\n")
    with pytest.raises(ValueError, match=r"km\.bin: centroids of 5 dimensions, .*'mfcc' have 39"):
        convert_quantizer.main(
            [str(tmp_path / "km.bin"), "--out", str(tmp_path / "tok"), "--config", str(config)]
        )
