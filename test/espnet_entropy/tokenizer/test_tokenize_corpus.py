import hashlib
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import joblib
import kaldiio
import numpy as np
import pytest
import soundfile
import yaml
from sklearn.cluster import KMeans

from espnet_entropy.bin import convert_quantizer, fit_quantizer, tokenize
from espnet_entropy.tokenizer import corpus, fit
from espnet_entropy.tokenizer.config import KMeansConfig, TokenizerConfig
from espnet_entropy.tokenizer.convert import adopt
from espnet_entropy.tokenizer.fit import TokenizerFit, choose_utterances
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.tokenizer import Tokenizer

CONFIG = "features: mfcc\nquantizer_conf: {num_clusters: 8, max_frames: 700}\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_data(tmp_path / "raw", utterances=24)


def make_data(path: Path, utterances: int, seconds: float = 1.0) -> Path:
    """A formatted data directory of noise, a few utterances of equal length."""
    path.mkdir(parents=True)
    generator = np.random.default_rng(0)
    wavs, lengths = [], []
    for i in range(utterances):
        samples = int(16_000 * seconds) + 800 * (i % 5)
        wav = 0.1 * generator.normal(size=samples) * np.sin(np.arange(samples) / (900 + i))
        soundfile.write(path / f"u{i:03d}.flac", wav, 16_000)
        wavs.append(f"u{i:03d} {path}/u{i:03d}.flac\n")
        lengths.append(f"u{i:03d} {samples}\n")
    (path / "wav.scp").write_text("".join(wavs))
    (path / "utt2num_samples").write_text("".join(lengths))
    (path / "utt2spk").write_text("".join(f"u{i:03d} u{i:03d}\n" for i in range(utterances)))
    return path


def run(tmp_path: Path, data: Path, out: str = "units", nj: int = 1) -> dict[str, np.ndarray]:
    model = str(tmp_path / "tokenizer")
    common = ["--model", model, "--data", str(data), "--out", str(tmp_path / out)]
    for job in range(nj, 0, -1):
        tokenize.main([*common, "--job", str(job), "--nj", str(nj)])
    tokenize.main([*common, "--merge", "--max_failed", "0.2"])
    return dict(kaldiio.load_scp(str(tmp_path / out / "units.scp")))


def fit_command(tmp_path: Path, data: Path, *more: str, out: str = "tokenizer") -> Path:
    config = tmp_path / "tokenizer.yaml"
    config.write_text(CONFIG)
    arguments = ["--config", str(config), "--data", str(data), "--out", str(tmp_path / out)]
    fit_quantizer.main([*arguments, "--max_failed", "0.2", *more])
    return tmp_path / out


def digest(directory: Path) -> dict[str, str]:
    return {
        str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(directory.rglob("*"))
        if file.is_file() and not file.name.startswith(".")
    }


def test_fit_and_tokenize(tmp_path, data):
    model = fit_command(tmp_path, data)
    assert sorted(digest(model)) == ["quantizer.safetensors", "quantizer.yaml", "tokenizer.yaml"]
    report = yaml.safe_load((model / "quantizer.yaml").read_text())
    assert 600 < report["num_frames"] < 800  # max_frames: 700 of about 1300
    assert report["inertia"][-1] <= report["inertia"][0]
    units = run(tmp_path, data)
    tokenizer = Tokenizer.from_pretrained(model)
    assert list(units) == [f"u{i:03d}" for i in range(24)]
    for utt, found in units.items():
        wav, _ = soundfile.read(data / f"{utt}.flac", dtype="float32")
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, tokenizer(wav))
    meta = yaml.safe_load((tmp_path / "units" / "meta.yaml").read_text())
    assert meta == {
        "tokenizer": tokenizer.fingerprint,
        "num_clusters": 8,
        "features": "mfcc",
        "quantizer": "kmeans",
    }
    copied = (tmp_path / "units" / "utt2num_samples").read_text()
    assert copied == (data / "utt2num_samples").read_text()


def test_jobs_do_not_change_the_result(tmp_path, data, monkeypatch):
    for module in (corpus, fit):
        monkeypatch.setattr(module, "SHARD_SAMPLES", 4 * 16_000)
    one = fit_command(tmp_path, data)
    for job in ("2", "1", "3"):
        fit_command(tmp_path, data, "--job", job, "--nj", "3", out="tokenizer3")
    assert digest(one) == digest(fit_command(tmp_path, data, out="tokenizer3"))
    alone, three = run(tmp_path, data, "a"), run(tmp_path, data, "b", nj=3)
    assert list(alone) == list(three)
    for utt in alone:
        np.testing.assert_array_equal(alone[utt], three[utt])


def test_finished_fit_is_kept_and_another_is_refused(tmp_path, data):
    before = digest(fit_command(tmp_path, data))
    assert digest(fit_command(tmp_path, data)) == before
    with pytest.raises(ValueError, match="another configuration or corpus"):
        TokenizerFit(TokenizerConfig(), data, tmp_path / "tokenizer").run()


def test_what_a_kill_left_of_a_finished_fit_is_swept_up(tmp_path, data):
    fit_command(tmp_path, data)
    (tmp_path / "tokenizer" / "fit").mkdir()
    fit_command(tmp_path, data)
    assert not (tmp_path / "tokenizer" / "fit").exists()


@pytest.mark.parametrize("kind", ["public", "own"])
def test_a_ready_kmeans_is_taken_not_fitted(tmp_path, kind):
    frames = np.random.default_rng(0).normal(size=(300, 39))
    estimator = KMeans(5, n_init=1, random_state=0).fit(frames)
    source = tmp_path / "km.bin"
    joblib.dump(estimator, source)
    if kind == "own":
        convert_quantizer.main([str(source), "--out", str(tmp_path / "own")])
        source = tmp_path / "own"
    config, out = tmp_path / "tokenizer.yaml", tmp_path / "tokenizer"
    config.write_text(f"features: mfcc\nquantizer_conf: {{pretrained: {source}}}\n")
    # no data directory is read: there is none
    fit = ["--config", str(config), "--data", str(tmp_path / "none"), "--out", str(out)]
    fit_quantizer.main([*fit, "--job", "1", "--nj", "2"])
    assert not out.exists()
    fit_quantizer.main(fit)
    tokenizer = Tokenizer.from_pretrained(out)
    np.testing.assert_array_equal(
        tokenizer.quantizer.centroids, estimator.cluster_centers_.astype(np.float32)
    )
    assert tokenizer.quantizer.info["origin"] == "km.bin"
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    fit_quantizer.main(fit)  # again: nothing to do
    convert_quantizer.main([str(source), "--out", str(out), "--config", str(config)])
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (out / "tokenizer.yaml").unlink()  # killed before the last file
    fit_quantizer.main(fit)
    assert Tokenizer.from_pretrained(out).fingerprint == tokenizer.fingerprint


def test_a_ready_kmeans_must_be_the_one_that_was_asked_for(tmp_path):
    def adopted(centroids: np.ndarray, **options: int) -> Tokenizer:
        (tmp_path / "km").mkdir(exist_ok=True)
        KMeansQuantizer(centroids).save(tmp_path / "km")
        conf = KMeansConfig(pretrained=str(tmp_path / "km"), **options)
        return adopt(TokenizerConfig(quantizer_conf=conf), tmp_path / "km", tmp_path / "out")

    centroids = np.random.default_rng(0).normal(size=(5, 39)).astype(np.float32)
    with pytest.raises(ValueError, match=r"km: 5 clusters, but .* num_clusters: 6"):
        adopted(centroids, num_clusters=6)
    with pytest.raises(ValueError, match=r"km: centroids of 12 dimensions, .*'mfcc' have 39"):
        adopted(centroids[:, :12])
    assert adopted(centroids, num_clusters=5).num_clusters == 5
    with pytest.raises(ValueError, match="another configuration"):
        adopted(centroids + 1)


def test_bad_utterances_are_named_and_skipped(tmp_path, data):
    soundfile.write(data / "u003.flac", np.zeros(300), 16_000)
    (data / "u007.flac").write_bytes(b"not audio")
    fit_command(tmp_path, data)
    units = run(tmp_path, data)
    assert len(units) == 22
    assert not {"u003", "u007"} & set(units)
    failed = (tmp_path / "units" / "units.failed").read_text()
    assert "u003 audio: 300 samples are shorter" in failed
    assert "u007" in failed
    listed = (tmp_path / "units" / "utt2num_samples").read_text()
    assert "u003" not in listed
    with pytest.raises(ValueError, match="2 of 24 utterances failed"):
        corpus.merge_units(tmp_path / "tokenizer", data, tmp_path / "units", max_failed=0.05)


def test_units_of_another_tokenizer_are_refused(tmp_path, data):
    fit_command(tmp_path, data)
    run(tmp_path, data)
    (tmp_path / "tokenizer" / "tokenizer.yaml").unlink()
    config = TokenizerConfig(quantizer_conf=KMeansConfig(num_clusters=5))
    TokenizerFit(config, data, tmp_path / "tokenizer").run()
    with pytest.raises(ValueError, match="another model"):
        run(tmp_path, data)


def test_a_pickle_among_the_frames_is_refused_not_run(tmp_path, data):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    config = TokenizerConfig(features="mfcc", quantizer_conf=KMeansConfig(num_clusters=8))
    job = TokenizerFit(config, data, tmp_path / "tokenizer")
    job.extract()
    ark = tmp_path / "tokenizer/fit/shards/frames.1.ark"
    ark.write_bytes(b"u000 PKL" + pickle.dumps(Bomb()))
    with pytest.raises(ValueError, match=r"frames\.scp: u000: .*frames\.1\.ark:5: holds b'PKL"):
        job.run()
    assert not (tmp_path / "ran").exists()


def test_unformatted_data(tmp_path, data):
    (data / "utt2num_samples").unlink()
    with pytest.raises(ValueError, match="Run stage 'format'"):
        fit_command(tmp_path, data)


def test_max_hours_is_a_seeded_choice():
    lengths = {f"u{i}": 16_000 * 36 for i in range(100)}  # a hundredth of an hour each
    config = KMeansConfig(max_hours=0.2)
    chosen = choose_utterances(lengths, config)
    assert len(chosen) == 20
    assert list(chosen) == [utt for utt in lengths if utt in chosen]
    assert chosen == choose_utterances(lengths, config)
    assert chosen != choose_utterances(lengths, KMeansConfig(max_hours=0.2, seed=1))
    assert choose_utterances(lengths, KMeansConfig()) == lengths


@pytest.mark.slow
def test_killed_at_random_moments_the_bytes_are_the_same(tmp_path):
    data = make_data(tmp_path / "raw", utterances=100, seconds=15.0)
    (tmp_path / "tokenizer.yaml").write_text(CONFIG.replace("700", "100000"))

    def commands(name: str) -> list[list[str]]:
        model, units = str(tmp_path / name / "model"), str(tmp_path / name / "units")
        where = ["--data", str(data), "--out"]
        make = ["tokenize", "--model", model, *where, units]
        config = str(tmp_path / "tokenizer.yaml")
        return [["fit_quantizer", "--config", config, *where, model], make, [*make, "--merge"]]

    def call(command: list[str], limit: float | None) -> bool:
        """Whether the command came to its end before it was killed after ``limit`` seconds."""
        arguments = [sys.executable, "-m", f"espnet_entropy.bin.{command[0]}", *command[1:]]
        process = subprocess.Popen(arguments, env={**os.environ, "OMP_NUM_THREADS": "1"})
        try:
            assert process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return False
        return True

    took = []
    for command in commands("whole"):
        start = time.monotonic()
        assert call(command, None)
        took.append(time.monotonic() - start)
    generator, kills = random.Random(0), 0
    for command, seconds in zip(commands("killed"), took, strict=True):
        for _ in range(2):
            kills += not call(command, generator.uniform(0.4, 1.0) * seconds)
        assert call(command, None)
    assert kills > 0
    whole, killed = digest(tmp_path / "whole"), digest(tmp_path / "killed")
    for name in whole:
        if not name.endswith(".scp"):  # those name their own directory
            assert whole[name] == killed[name], name
    assert whole.keys() == killed.keys()
