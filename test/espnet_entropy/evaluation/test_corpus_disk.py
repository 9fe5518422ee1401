"""Predicted bytes and files against what the stages really write."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_entropy.bin import format_audio, pack_units, prepare_asr
from espnet_entropy.corpora.data_dir import Utterance, write_data_dir
from espnet_entropy.evaluation import corpus_disk as disk
from espnet_entropy.evaluation.training_estimate import Corpus
from espnet_entropy.utils.config import write_yaml
from espnet_entropy.utils.scp import write_scp
from espnet_entropy.utils.shards import ShardedArk, plan_shards

SECONDS, COUNT, K = 15.0, 300, 500
CORPUS = Corpus(hours=SECONDS * COUNT / 3600, seconds=SECONDS, num_clusters=K)
SAMPLES = round(SECONDS * 16000)
NAMES = disk.Names(utt=17, speaker=4, wav=60, text_per_second=14.0)
UTTS = [f"4800_10003_{i:06}" for i in range(COUNT)]
UNITS = round(SECONDS * 50)


def found(folder: Path) -> disk.Disk:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return disk.Disk(sum(path.stat().st_size for path in files), len(files))


def check(predicted: disk.Disk, folder: Path, files: int = 0) -> None:
    real = found(folder)
    assert predicted.bytes == pytest.approx(real.bytes, rel=0.03)
    assert predicted.files == real.files + files


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Paths are relative to a recipe, as in a run."""
    (tmp_path / "asr1").mkdir()
    (tmp_path / "units1").mkdir()
    monkeypatch.chdir(tmp_path / "units1")
    return tmp_path


def test_tables(recipe):
    folder = "wav".ljust(NAMES.wav - 5, "x")  # relative: a test's own folder has any length
    Path(folder).mkdir()
    short = np.zeros(800, dtype=np.int16)
    utts = []
    for i, utt in enumerate(UTTS):
        wav = f"{folder}/{i:03}x"
        assert len(wav) == NAMES.wav
        soundfile.write(wav, short, 16000, format="WAV")
        utts.append(Utterance(utt, wav, "4800", "x" * round(14 * SECONDS)))
    write_data_dir("data/train", utts)
    check(disk.tables(CORPUS, NAMES), Path("data/train"))
    words = ["--data", "data/train", "--out", "dump/raw/train"]
    format_audio.main(words)
    format_audio.main([*words, "--merge"])
    check(disk.formatted(CORPUS, NAMES), Path("dump/raw/train"))


def dump(name, arrays, shard_units):
    """As the stages of tokenizing and scoring write it."""
    out = Path(f"dump/{name}/train")
    shards = plan_shards(dict.fromkeys(arrays, UNITS), shard_units)
    ark = ShardedArk(out, name, shards, "key")
    for index, utts in enumerate(shards):
        ark.write(index, [(utt, arrays[utt]) for utt in utts])
    ark.merge()
    write_scp(out / "utt2num_samples", dict.fromkeys(arrays, SAMPLES))
    meta = {"tokenizer": "0" * 16, "num_clusters": K, "entropy_lm": "1" * 16}
    write_yaml(out / "meta.yaml", meta)
    return out


def test_a_large_corpus_has_larger_shards():
    corpus = Corpus(hours=1500, seconds=600.0, num_clusters=K)  # 9000 utterances
    shards = plan_shards(dict.fromkeys(map(str, range(9000)), 600), 600)
    assert disk.count_shards(corpus, 600.0) == len(shards) == 3000


def test_dumps(recipe):
    units = dump("units", {utt: np.zeros(UNITS, np.int32) for utt in UTTS}, 600 * 50)
    check(disk.units(CORPUS, NAMES), units)
    pack_units.main(["--units", str(units), "--out", "dump/packed/train", "--context", "2048"])
    check(disk.packed(CORPUS, 2048), Path("dump/packed/train"))

    matrices = {utt: np.zeros((UNITS, 2), np.float32) for utt in UTTS}
    scored = dump("scored", matrices, disk.SHARD_UNITS)
    check(disk.scored(CORPUS, NAMES), scored)
    write_scp("text", dict.fromkeys(UTTS, "x" * round(14 * SECONDS)))
    words = ["--scored", f"../units1/{scored}", "--text", "text", "--out", "../asr1/dump/asr/train"]
    prepare_asr.main(words)
    check(disk.prepared(CORPUS, NAMES), recipe / "asr1/dump/asr/train")


def test_models_and_sums():
    made = disk.models(parameters=100, epochs_kept=10, copies=1)
    assert made == disk.Disk(100 * (12 + 40 + 4), 12)
    assert made + disk.Disk(1.0, 2) == disk.Disk(5601.0, 14)
