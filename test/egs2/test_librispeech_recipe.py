"""librispeech/units1 on a miniature corpus and a random HuBERT: from its own files to units."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from miniatures import librispeech, mls
from small_speech_model import save_speech_model

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
TOKENIZER = """features: hubert
features_conf: {{model: {model}, layer: 1}}
quantizer_conf: {{num_clusters: 8}}
"""


def recipe(corpus, path):
    """A copy of a recipe's files, its run.sh calling the real driver."""
    for part in ("conf", "local"):
        shutil.copytree(ROOT / "egs2" / corpus / "units1" / part, path / part)
    run = (ROOT / "egs2" / corpus / "units1/run.sh").read_text()
    assert "../../TEMPLATE/" in run
    (path / "run.sh").write_text(run.replace("../../TEMPLATE/", f"{ROOT}/egs2/TEMPLATE/"))
    return path


def run(path, *words, **env):
    made = subprocess.run(
        ["bash", path / "run.sh", *words],
        env={**os.environ, "ESPNET_ENTROPY_PYTHON": sys.executable, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    return made.returncode, made.stdout + made.stderr


def test_from_the_official_layout_to_units(tmp_path):
    path = recipe("librispeech", tmp_path / "recipe")
    model = save_speech_model(tmp_path / "hubert")
    (path / "conf/tokenizer.yaml").write_text(TOKENIZER.format(model=model))
    corpus = librispeech(tmp_path / "corpus", seconds=0.6)
    damaged = corpus / "LibriSpeech/train-clean-100/19/121100/19-121100-0001.flac"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    words = ["--stop_stage", "tokenize", "--nj", "1", "--max_failed", "0.1"]
    words += ["--test_sets", "test_clean"]
    code, said = run(path, *words, LIBRISPEECH=str(corpus))
    assert code == 0, said
    for name, count in (("train_960", 17), ("dev_clean", 6), ("test_clean", 6)):
        units = (path / "dump/units" / name / "units.scp").read_text().splitlines()
        assert len(units) == count
    assert "19-121100-0001" in (path / "dump/raw/train_960/failed.txt").read_text()
    assert "num_clusters: 8" in (path / "dump/units/train_960/meta.yaml").read_text()
    # nothing is copied: the audio is what the toolkit wants already
    assert not (path / "dump/raw/train_960/audio").exists()


def test_without_the_corpus_it_says_what_to_do(tmp_path):
    path = recipe("librispeech", tmp_path / "recipe")
    code, said = run(path, "--stop_stage", "data", LIBRISPEECH=str(tmp_path / "none"))
    assert code == 2
    assert f"error: {tmp_path}/none: no such folder; expected the corpus 'librispeech'" in said
    assert "--download true" in said
    corpus = librispeech(tmp_path / "corpus", {"dev-clean": "84"}, seconds=0.1)
    code, said = run(path, "--stop_stage", "data", LIBRISPEECH=str(corpus))
    assert code == 2
    assert "lacks train-clean-100, train-clean-360, train-other-500, dev-other, test-clean" in said


def test_mls_with_test_clean_of_librispeech(tmp_path):
    path = recipe("mls_en", tmp_path / "recipe")
    corpus = librispeech(tmp_path / "corpus", {"test-clean": "61"}, seconds=0.1)
    speech = mls(tmp_path / "mls")
    words = ["--stop_stage", "data", "--data_opts", "--option hours=0.03"]
    code, said = run(path, *words, LIBRISPEECH=str(corpus), MLS_EN=str(speech))
    assert code == 0, said
    lines = {
        name: (path / "data" / name / "text").read_text().splitlines()
        for name in ("train", "dev", "test_clean")
    }
    assert lines["dev"][0] == "1982_1551_000000 THE WHEEL CHAIR'S A"
    assert lines["test_clean"][0] == "61-121100-0000 IT'S NUMBER A"
    readers = {line.split("_")[0] for line in lines["train"]}
    assert len(lines["train"]) == 7
    assert readers == {"480", "4800"}  # 84 reads LibriSpeech's dev
