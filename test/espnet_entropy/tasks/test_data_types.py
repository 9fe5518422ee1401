"""Our archives as ESPnet's data types, without kaldiio's readers."""

import numpy as np
import pytest
import yaml
from toy_training import META, K, random_matrices, write_matrices

from espnet_entropy.tasks.data_types import ScoredReader, UnitsReader, register_data_types
from espnet_entropy.utils import scp

MATRICES = random_matrices("u", 3, seed=0)


@pytest.fixture
def dump(tmp_path):
    write_matrices(tmp_path, MATRICES, META)
    return tmp_path


def test_a_scored_dump_is_read_as_it_is(dump):
    reader = ScoredReader(dump / "scored.scp")
    assert list(reader) == list(MATRICES)
    assert len(reader) == 3
    for utt, matrix in MATRICES.items():
        assert reader[utt].dtype == np.float32
        np.testing.assert_array_equal(reader[utt], matrix.astype(np.float32))


def test_a_matrix_of_another_kind_is_named(dump):
    write_matrices(dump, {"u0": np.zeros((4, 3)), "u1": np.full((2, 2), np.nan)}, META)
    reader = ScoredReader(dump / "scored.scp")
    with pytest.raises(ValueError, match=r"scored\.scp: u0: expected a matrix \(N, 2\)"):
        reader["u0"]
    with pytest.raises(ValueError, match="u1: expected finite units"):
        reader["u1"]
    (dump / "meta.yaml").write_text(yaml.safe_dump({**META, "num_clusters": K // 2}))
    write_matrices(dump, MATRICES, {**META, "num_clusters": K // 2})
    with pytest.raises(ValueError, match=r"u0: unit 1\d, but meta.yaml says that there are 10"):
        ScoredReader(dump / "scored.scp")["u0"]


def test_units_are_vectors(dump):
    with pytest.raises(ValueError, match="u0: expected a vector of int32, got float32"):
        UnitsReader(dump / "scored.scp")["u0"]


def test_a_pipe_is_refused_and_not_run(dump):
    (dump / "scored.scp").write_text(f"u0 touch {dump}/ran |\n")
    with pytest.raises(ValueError, match="It was not run"):
        ScoredReader(dump / "scored.scp")
    assert not (dump / "ran").exists()


@pytest.mark.slow  # imports espnet2.train
def test_espnets_data_set_reads_them(dump, monkeypatch):
    from espnet2.fileio.read_text import read_2columns_text as espnets_text
    from espnet2.train.collate_fn import CommonCollateFn
    from espnet2.train.dataset import DATA_TYPES, ESPnetDataset

    register_data_types()
    register_data_types()
    assert list(DATA_TYPES).index("scored") < list(DATA_TYPES).index("score")
    (dump / "text").write_text("u0 A  B\nu1\nu2 Ä\n")
    types = [(str(dump / "scored.scp"), "speech", "scored"), (str(dump / "text"), "text", "text")]
    monkeypatch.setattr(scp, "LARGE", 0)
    texts = []

    def process(utt, item):
        texts.append(item.pop("text"))
        return item

    data = ESPnetDataset(types, preprocess=process, keys_to_load={"u0", "u1", "u2"})
    items = [data[utt] for utt in MATRICES]
    assert texts == list(espnets_text(dump / "text").values()) == ["A  B", "", "Ä"]
    np.testing.assert_array_equal(items[1][1]["speech"], MATRICES["u1"].astype(np.float32))
    _, batch = CommonCollateFn(float_pad_value=0.0, int_pad_value=-1)(items)
    assert batch["speech_lengths"].tolist() == [len(m) for m in MATRICES.values()]
    shortest = int(batch["speech_lengths"].argmin())
    assert not batch["speech"][shortest, batch["speech_lengths"][shortest] :].any()


@pytest.mark.slow
def test_the_iterable_data_set_reads_them_too(dump):
    from espnet2.train.iterable_dataset import IterableESPnetDataset

    register_data_types()
    data = IterableESPnetDataset([(str(dump / "scored.scp"), "speech", "scored")])
    for utt, item in data:
        np.testing.assert_array_equal(item["speech"], MATRICES[utt].astype(np.float32))
