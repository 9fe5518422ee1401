"""Reading, computing and writing of a corpus go on at the same time, and end together."""

import threading
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from test_tokenize_corpus import fit_command, make_data, run

from espnet_entropy.tokenizer import corpus as corpus_module
from espnet_entropy.tokenizer.corpus import on_audio, parts_of, readers_for, write_beside
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.shards import ShardedArk

PATIENCE = 20.0  # seconds until a test that would hang fails
PARTS = [["a", "b"], ["c", "d"], ["e"], ["f"]]


class SlowCorpus:
    """Audio that says when its reading begins, and may wait, or fail."""

    def __init__(self, bad: dict[str, Exception] | None = None) -> None:
        self.begun = {utt: threading.Event() for part in PARTS for utt in part}
        self.bad = bad or {}

    def load_audio(self, utt: str) -> np.ndarray:
        self.begun[utt].set()
        if utt in self.bad:
            raise self.bad[utt]
        return np.full(400, ord(utt), np.float32)


def letters(wavs: list[np.ndarray]) -> list[str]:
    return [chr(int(wav[0])) for wav in wavs]


def leftovers() -> list[str]:
    known = ("ahead", "behind", "reader")
    return [t.name for t in threading.enumerate() if t.name.startswith(known)]


@pytest.mark.parametrize("readers", [1, 3])
def test_the_next_part_is_read_while_one_is_computed(readers):
    corpus, computed = SlowCorpus(), []

    def compute(wavs):
        part = letters(wavs)
        i = PARTS.index(part)
        for utt in PARTS[i + 1] if i + 1 < len(PARTS) else ():
            assert corpus.begun[utt].wait(PATIENCE)  # before this part is done
        for later in PARTS[i + 2 :]:  # but no more than two parts are held
            assert not any(corpus.begun[utt].is_set() for utt in later)
        computed.append(part)
        return part

    found = list(on_audio(corpus, PARTS, compute, readers))
    assert found == [[(utt, utt) for utt in part] for part in PARTS]
    assert computed == PARTS
    assert leftovers() == []


def test_bad_utterances_keep_their_place():
    corpus = SlowCorpus({"a": ValueError("bad a"), "e": ValueError("bad e")})
    (a, b), *_, (e,), _ = on_audio(corpus, PARTS, letters, readers=2)
    assert (a[0], str(a[1])) == ("a", "bad a")
    assert b == ("b", "b")
    assert (e[0], str(e[1])) == ("e", "bad e")


def test_a_failing_reader_or_computation_ends_everything():
    with pytest.raises(OSError, match="no disk"):
        list(on_audio(SlowCorpus({"d": OSError("no disk")}), PARTS, letters, readers=2))
    assert leftovers() == []

    def fail(wavs):
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        list(on_audio(SlowCorpus(), PARTS, fail))
    assert leftovers() == []


def make_ark(path: Path) -> ShardedArk:
    return ShardedArk(path, "units", [["a", "b", "c", "d"], ["e"], ["f"]], "key")


def lengths(wavs: list[np.ndarray]) -> list[np.ndarray]:
    return [wav[:3].astype(np.int32) for wav in wavs]


def test_shards_are_written_while_later_parts_are_computed(tmp_path):
    ark = make_ark(tmp_path)
    first = tmp_path / "shards/units.1.scp"
    written = threading.Event()

    def compute(wavs):
        if letters(wavs) == ["f"]:  # the writer is at most a part behind
            threading.Thread(target=wait_for, args=(first, written), daemon=True).start()
            assert written.wait(PATIENCE)
        return lengths(wavs)

    write_beside(ark, ark.pending(), on_audio(SlowCorpus(), PARTS, compute))
    assert ark.pending() == []
    ark.merge()
    found = dict(kaldiio.load_scp(str(tmp_path / "units.scp")))
    assert {utt: chr(array[0]) for utt, array in found.items()} == {u: u for u in "abcdef"}
    assert leftovers() == []


def wait_for(path: Path, event: threading.Event) -> None:
    while not path.exists() and not event.wait(0.01):
        pass
    event.set()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_shard_whose_computation_ended_early_is_not_there(tmp_path, error):
    ark = make_ark(tmp_path)

    def compute(wavs):
        if letters(wavs) == ["c", "d"]:  # the second half of the first shard
            raise error
        return lengths(wavs)

    with pytest.raises(error):
        write_beside(ark, ark.pending(), on_audio(SlowCorpus(), PARTS, compute))
    assert ark.pending() == [0, 1, 2]
    assert list((tmp_path / "shards").glob(".*")) == []  # nor half of it
    assert leftovers() == []


def test_a_disk_that_is_full_ends_the_computation(tmp_path, monkeypatch):
    ark, computed = make_ark(tmp_path), []
    pending = ark.pending()

    def fail(index, results):
        next(iter(results))
        raise OSError("disk full")

    def compute(wavs):
        computed.extend(letters(wavs))
        return lengths(wavs)

    monkeypatch.setattr(ark, "write", fail)
    many = PARTS + [["f"]] * 50
    with pytest.raises(OSError, match="disk full"):
        write_beside(ark, pending, on_audio(SlowCorpus(), many, compute))
    assert len(computed) < 20
    assert leftovers() == []


def test_batches_depend_on_the_shard_alone(tmp_path, monkeypatch):
    """In half precision units depend on the batch: it must not depend on the jobs."""
    monkeypatch.setattr(corpus_module, "SHARD_SAMPLES", 4 * 16_000)
    data = make_data(tmp_path / "raw", utterances=24)
    fit_command(tmp_path, data)
    batches, batch = [], Tokenizer.batch

    def remember(self, wavs):
        batches.append(tuple(float(wav[:50].sum()) for wav in wavs))
        return batch(self, wavs)

    monkeypatch.setattr(Tokenizer, "batch", remember)
    run(tmp_path, data, "one")
    alone = set(batches)
    batches.clear()
    run(tmp_path, data, "three", nj=3)
    assert set(batches) == alone
    assert len(alone) == len(batches) > 3


def test_large_shards_come_in_parts():
    sizes = dict(zip("abcdef", (5, 5, 5, 9, 1, 30), strict=True))
    parts = parts_of([["a", "b", "c", "d"], ["e"], ["f"]], sizes, 10)
    assert list(parts) == [["a", "b"], ["c", "d"], ["e"], ["f"]]


def test_a_gpu_has_more_readers():
    assert readers_for("cpu") == 1
    assert 1 <= readers_for("cuda:1") <= corpus_module.MOST_READERS
