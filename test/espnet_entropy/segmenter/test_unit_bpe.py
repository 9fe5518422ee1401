"""Dedup + BPE over units: pieces add up to the units, and the commonest pair is merged first."""

from collections import Counter
from itertools import groupby, pairwise

import kaldiio
import numpy as np
import pytest
import yaml

from espnet_entropy.bin.train_unit_bpe import main
from espnet_entropy.segmenter.groups import group_lengths
from espnet_entropy.segmenter.unit_bpe import UnitBPE

K = 12
UNSEEN = K - 1  # a unit that the training set has not


def chain(rng, length):
    """Units of a chain whose commonest pair is 3 5, with repetitions."""
    units = []
    while len(units) < length:
        units += [3, 5] if rng.random() < 0.4 else [int(rng.integers(0, UNSEEN))]
    return np.repeat(units, rng.integers(1, 4, len(units)))[:length]


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    directory = tmp_path_factory.mktemp("scored")
    rng = np.random.default_rng(0)
    with kaldiio.WriteHelper(f"ark,scp:{directory}/a.ark,{directory}/scored.scp") as writer:
        for i in range(30):
            units = chain(rng, 100)
            writer(f"u{i}", np.stack([units, np.ones(100)], 1).astype(np.float32))
    (directory / "utt2num_samples").write_text("".join(f"u{i} 32000\n" for i in range(30)))
    (directory / "meta.yaml").write_text(
        yaml.safe_dump({"tokenizer": "tok", "entropy_lm": "lm", "num_clusters": K})
    )
    return directory


@pytest.fixture(scope="module")
def bpe(scored, tmp_path_factory):
    return UnitBPE.train(scored, 40, tmp_path_factory.mktemp("bpe"))


def utterances(scored):
    return [m[:, 0].astype(int) for m in kaldiio.load_scp(f"{scored}/scored.scp").values()]


def test_groups_add_up_to_the_units(bpe, scored):
    for units in utterances(scored):
        ids, starts = bpe.encode(units)
        assert starts[0]
        assert starts.sum() == len(ids)
        assert group_lengths(starts).sum() == len(units)
        # no group begins inside a run of one unit
        assert (units[1:] != units[:-1])[starts[1:]].all()
        assert ((ids > 0) & (ids < bpe.size)).all()


def test_a_piece_always_stands_for_the_same_runs(bpe, scored):
    meaning = {}
    for units in utterances(scored):
        ids, starts = bpe.encode(units)
        for piece, part in zip(
            ids.tolist(), np.split(units, np.flatnonzero(starts)[1:]), strict=True
        ):
            runs = tuple(u for u, _ in groupby(part.tolist()))
            assert meaning.setdefault(piece, runs) == runs
    assert len(set(meaning.values())) == len(meaning)


def test_the_commonest_pair_is_merged_first(scored, tmp_path):
    pairs = Counter()
    for units in utterances(scored):
        runs = [u for u, _ in groupby(units.tolist())]
        pairs.update(pairwise(runs))
    assert pairs.most_common(1)[0][0] == (3, 5)
    one_merge = UnitBPE.train(scored, K + 2, tmp_path)
    assert one_merge.size == K + 2
    ids, starts = one_merge.encode(np.array([3, 3, 5, 5, 5, 5, 3, 4, 3, 5]))
    assert starts.tolist() == [1, 0, 0, 0, 0, 0, 1, 1, 1, 0]
    assert ids[0] == ids[3] != ids[1]


def test_the_rate_is_that_of_the_training_set(bpe, scored):
    pieces = sum(len(bpe.encode(units)[0]) for units in utterances(scored))
    assert bpe.card.rate == pytest.approx(pieces / (30 * 2.0))
    assert bpe.card.rate < 50


def test_a_unit_that_training_never_saw_is_a_piece_of_its_own(bpe):
    ids, starts = bpe.encode(np.array([UNSEEN, UNSEEN, 3, UNSEEN]))
    assert starts.tolist() == [True, False, True, True]
    assert ids[0] == ids[2] > 0


def test_one_unit_and_very_long_utterances(bpe):
    ids, starts = bpe.encode(np.array([4, 4]))
    assert (len(ids), starts.tolist()) == (1, [True, False])
    long = chain(np.random.default_rng(1), 60_000)
    ids, starts = bpe.encode(long)
    assert group_lengths(starts).sum() == 60_000
    assert starts.sum() == len(ids)


def test_stored_and_loaded_it_is_the_same(bpe, scored, tmp_path, capsys):
    main(["--scored", str(scored), "--vocab_size", "40", "--out", str(tmp_path)])
    assert f"40 pieces, {bpe.card.rate:.2f} Hz" in capsys.readouterr().out
    loaded = UnitBPE.from_pretrained(tmp_path / "unit_bpe.model")
    assert loaded.card == bpe.card  # the same set gives the same bytes
    assert UnitBPE.from_pretrained(tmp_path).card == bpe.card
    units = utterances(scored)[0]
    assert loaded.encode(units)[0].tolist() == bpe.encode(units)[0].tolist()


def test_a_small_set_gives_fewer_pieces(scored, tmp_path, caplog):
    (tmp_path / "in").mkdir()
    for name in ("meta.yaml", "utt2num_samples"):
        (tmp_path / "in" / name).write_text((scored / name).read_text())
    first = (scored / "scored.scp").read_text().splitlines()[0]
    (tmp_path / "in/scored.scp").write_text(first + "\n")
    small = UnitBPE.train(tmp_path / "in", 1000, tmp_path / "out")
    assert K < small.size < 1000
    assert "no more pairs to merge" in caplog.text


def test_what_is_wrong_is_named(bpe, scored, tmp_path):
    with pytest.raises(ValueError, match=rf"vocab_size: expected more than K \+ 1 = {K + 1}"):
        UnitBPE.train(scored, K + 1, tmp_path)
    with pytest.raises(ValueError, match=f"unit {K} at position 1"):
        bpe.encode(np.array([0, K]))
    with pytest.raises(ValueError, match="no such unit BPE"):
        UnitBPE.from_pretrained(tmp_path)
    bpe.save(tmp_path)
    (tmp_path / "unit_bpe.model").write_bytes(b"x")
    with pytest.raises(ValueError, match="damaged or of different models"):
        UnitBPE.from_pretrained(tmp_path)
