import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from espnet_entropy.tokenizer.kmeans import KMeansQuantizer

CENTROIDS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def test_save_and_load(tmp_path):
    before = KMeansQuantizer(CENTROIDS, info={"origin": "here"})
    before.save(tmp_path)
    after = KMeansQuantizer.load(tmp_path)
    np.testing.assert_array_equal(after.centroids, CENTROIDS)
    assert (after.num_clusters, after.dim) == (5, 3)
    assert after.fingerprint == before.fingerprint
    assert after.info == {"origin": "here"}


@pytest.mark.parametrize(
    ("centroids", "message"),
    [
        (np.zeros(5, np.float32), r"\(K, D\)"),
        (np.zeros((1, 5), np.float32), "K >= 2"),
        (np.full((2, 2), np.nan, np.float32), "finite"),
        (np.ones((2, 2), np.int64), "floating-point"),
    ],
)
def test_bad_centroids(centroids, message):
    with pytest.raises(ValueError, match=message):
        KMeansQuantizer(centroids)


def test_parts_that_do_not_belong_together(tmp_path):
    KMeansQuantizer(CENTROIDS).save(tmp_path)
    KMeansQuantizer(CENTROIDS + 1).save(tmp_path / "other")
    (tmp_path / "other" / "quantizer.safetensors").rename(tmp_path / "quantizer.safetensors")
    with pytest.raises(ValueError, match="fingerprint is"):
        KMeansQuantizer.load(tmp_path)


def test_damaged_files(tmp_path):
    KMeansQuantizer(CENTROIDS).save(tmp_path)
    path = tmp_path / "quantizer.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-4])
    with pytest.raises(ValueError, match="not a readable safetensors"):
        KMeansQuantizer.load(tmp_path)
    save_file({"weights": CENTROIDS}, path)
    with pytest.raises(ValueError, match="one tensor 'centroids'"):
        KMeansQuantizer.load(tmp_path)
    path.unlink()
    with pytest.raises(ValueError, match="no such file"):
        KMeansQuantizer.load(tmp_path)
    info = tmp_path / "quantizer.yaml"
    info.write_text(yaml.safe_dump({"quantizer": "rvq"}))
    with pytest.raises(ValueError, match="quantizer: kmeans"):
        KMeansQuantizer.load(tmp_path)


def test_bad_features():
    quantizer = KMeansQuantizer(CENTROIDS)
    with pytest.raises(ValueError, match=r"shape \(N, 3\), got \(2, 4\)"):
        quantizer.assign(np.zeros((2, 4), np.float32))
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantizer.assign(np.full((1, 3), np.inf, np.float32))
