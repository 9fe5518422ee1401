"""Joining a scored dump with its texts."""

import os
from pathlib import Path

import numpy as np
import pytest

from espnet_entropy.tasks.asr_data import Limits, prepare_set
from espnet_entropy.utils import scp
from espnet_entropy.utils.ark import Arrays
from espnet_entropy.utils.config import write_yaml
from espnet_entropy.utils.scp import read_scp, write_scp
from espnet_entropy.utils.shards import ShardedArk

UNITS = {"a": 5, "b": 60, "c": 7, "d": 9}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A units recipe whose dump was written from its own directory, and an ASR recipe beside it."""
    units = tmp_path / "units1"
    (units / "dump").mkdir(parents=True)
    (tmp_path / "asr1").mkdir()
    monkeypatch.chdir(units)
    ark = ShardedArk("dump/scored/train", "scored", [["a", "b"], ["c", "d"]], "fingerprint")
    rng = np.random.default_rng(0)
    matrices = {utt: rng.random((n, 2)).astype(np.float32) for utt, n in UNITS.items()}

    ark.run(lambda utts: ((utt, matrices[utt]) for utt in utts))
    ark.merge(0.0)
    # the last sample that n windows need, and one less than n + 1 of them need
    samples = {utt: 400 + 320 * (n - 1) + i * 100 for i, (utt, n) in enumerate(UNITS.items())}
    write_scp("dump/scored/train/utt2num_samples", samples)
    write_yaml("dump/scored/train/meta.yaml", {"tokenizer": "t", "entropy_lm": "e"})
    write_scp("text", {"a": "A CAT", "b": "B", "c": "", "d": "A DOG", "e": "NOT SCORED"})
    monkeypatch.chdir(tmp_path / "asr1")
    return matrices


def run(**limits):
    return prepare_set(
        "../units1/dump/scored/train", "../units1/text", "dump/asr/train", Limits(**limits), 0.9
    )


def test_archives_are_found_from_another_directory(recipe):
    assert run() == 3
    arrays = Arrays.load("dump/asr/train/scored.scp")
    assert list(arrays) == ["a", "b", "d"]
    for utt, matrix in arrays.items():
        np.testing.assert_array_equal(matrix, recipe[utt])


def test_shapes_are_those_of_the_matrices(recipe):
    run()
    arrays = Arrays.load("dump/asr/train/scored.scp")
    shapes = read_scp("dump/asr/train/speech_shape")
    assert shapes == {utt: f"{matrix.shape[0]},2" for utt, matrix in arrays.items()}


def test_what_is_left_out_is_named_with_its_reason(recipe):
    assert run(min_units=6, max_units=50) == 1
    skipped = read_scp("dump/asr/train/skipped")
    assert set(skipped) == {"a", "b", "c"}
    assert "below min_units 6" in skipped["a"]
    assert "above max_units 50" in skipped["b"]
    assert "empty" in skipped["c"]
    assert read_scp("dump/asr/train/text") == {"d": "A DOG"}


def test_too_many_left_out_stop_the_run(recipe):
    with pytest.raises(ValueError, match="1 of 4 utterances"):
        prepare_set("../units1/dump/scored/train", "../units1/text", "out", max_failed=0.1)
    assert not os.path.exists("out/meta.yaml")


def test_an_utterance_without_text_is_named(recipe):
    write_scp("../units1/text", {"a": "A"})
    run()
    assert "has no text" in read_scp("dump/asr/train/skipped")["d"]


def test_a_moved_dump_is_refused(recipe, tmp_path):
    os.rename(tmp_path / "units1/dump/scored/train", tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"no archive 'dump/scored/train/.*score the set anew"):
        prepare_set(tmp_path / "elsewhere", "../units1/text", "out", max_failed=0.9)


def test_a_missing_dump_says_what_to_run(tmp_path):
    with pytest.raises(ValueError, match=r"run the recipe's units1 first"):
        prepare_set(tmp_path, tmp_path / "text", tmp_path / "out")


def test_large_tables_give_the_same_files(recipe, monkeypatch):
    files = {}
    for large in (1 << 20, 0):
        monkeypatch.setattr(scp, "LARGE", large)
        assert run(min_units=6) == 2
        files[large] = {file.name: file.read_bytes() for file in Path("dump/asr/train").iterdir()}
    assert files[0] == files[1 << 20]


def test_limits_are_checked():
    with pytest.raises(ValueError, match="1 <= min_units <= max_units"):
        Limits(min_units=5, max_units=4)
