"""The whole path: fits on every layer, figures on other speakers, the page."""

import shutil

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import transformers
import yaml

from espnet_entropy.bin import evaluate_units
from espnet_entropy.corpora.alignment import read_ctm
from espnet_entropy.evaluation import unit_quality_report, unit_systems
from espnet_entropy.evaluation.record import read_score
from espnet_entropy.evaluation.unit_quality_report import quality_table
from espnet_entropy.tokenizer.config import KMeansConfig, TokenizerConfig
from espnet_entropy.tokenizer.features import build_features
from espnet_entropy.tokenizer.fit import TokenizerFit
from espnet_entropy.tokenizer.kmeans import KMeansQuantizer
from espnet_entropy.tokenizer.mel_encoder import MelEncoder, MelEncoderConfig
from espnet_entropy.tokenizer.mel_model_dir import save_encoder
from espnet_entropy.tokenizer.tokenizer import Tokenizer
from espnet_entropy.utils.grid import num_units
from espnet_entropy.utils.scp import read_num_samples

PITCH = {"a": 200, "b": 450, "c": 1000, "d": 2200}  # Hz: phones that MFCC tell apart


def make_set(path, speakers, seed):
    """Six utterances of each speaker: tones, one after the other, aligned."""
    generator = np.random.default_rng(seed)
    path.mkdir(parents=True)
    files = {name: [] for name in ("wav.scp", "utt2spk", "utt2num_samples", "ctm.phones")}
    for speaker, i in ((s, i) for s in speakers for i in range(6)):
        utt, time, pieces = f"{speaker}-{i}", 0.0, []
        for phone in ["SIL", *generator.choice(list(PITCH), 12), "SIL"]:
            seconds = round(float(generator.uniform(0.06, 0.12)), 3)
            samples = np.arange(round(seconds * 16000)) / 16000
            pitch = PITCH.get(str(phone), 0) * (1 + 0.02 * len(speaker))
            pieces.append(0.3 * np.sin(2 * np.pi * pitch * samples))
            files["ctm.phones"].append(f"{utt} {time:.4f} {seconds:.4f} {phone}\n")
            time += seconds
        wav = np.concatenate(pieces)
        wav += 0.01 * generator.standard_normal(len(wav))
        soundfile.write(path / f"{utt}.flac", wav, 16000)
        files["wav.scp"].append(f"{utt} {path / utt}.flac\n")
        files["utt2spk"].append(f"{utt} {speaker}\n")
        files["utt2num_samples"].append(f"{utt} {len(wav)}\n")
    for name, lines in files.items():
        (path / name).write_text("".join(lines))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    make_set(root / "train", ["t", "tt"], 0)
    make_set(root / "test", ["u", "uuu", "uuuuu"], 1)
    return root


def run(data, out, *options, **config):
    config = {"abx": {"max_items": 60}, **config}
    (out.parent / "conf.yaml").write_text(yaml.safe_dump(config))
    words = ["--config", str(out.parent / "conf.yaml"), "--test", str(data / "test")]
    evaluate_units.main([*words, "--out", str(out), *map(str, options)])
    return read_score(out / "test" / "score.json")


def plain(score):
    """Without what a run says about itself."""
    return {k: v for k, v in score.items() if k not in ("command", "git", "versions")}


def make_model(path):
    """A random HuBERT of two blocks."""
    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    transformers.HubertModel(config).save_pretrained(path)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(path)
    return {"features": "hubert", "features_conf": {"model": str(path)}}


@pytest.mark.slow
def test_every_layer_and_size_of_a_speech_model(data, tmp_path, capsys):
    options = ("--train", data / "train")
    config = make_model(tmp_path / "model") | {"num_clusters": [4, 8], "layers": [0, 2]}
    score = run(data, tmp_path / "exp", *options, **config)
    assert [(row["layer"], row["num_clusters"]) for row in score["units"]] == [
        (layer, K) for layer in "02" for K in (4, 8)
    ]
    assert [row["layer"] for row in score["features_abx"]] == ["0", "2"]
    for row in score["units"]:
        assert 0 < row["pnmi"]["low"] <= row["pnmi"]["estimate"] <= row["pnmi"]["high"] <= 1
        assert all(0 < row[f"abx_{kind}"]["estimate"] < 1 for kind in ("within", "across"))
    assert not list((tmp_path / "exp").rglob("*.f32"))
    page = (tmp_path / "exp/README.md").read_text()
    assert quality_table(score) in page
    assert quality_table(score) in capsys.readouterr().out
    pictures = sorted(path.name for path in (tmp_path / "exp").glob("*.png"))
    assert {"test_pnmi.png", "test_abx_across.png", "test_r_value.png"} <= set(pictures)
    assert all(f"({name})" in page for name in pictures)


def test_every_layer_of_a_mel_encoder(data, tmp_path):
    """And a tokenizer of one, that leaves the layer to its model, has the same figures."""
    torch.manual_seed(0)
    save_encoder(MelEncoder(MelEncoderConfig(16, 2, 2, 32, 5)), tmp_path / "model")
    conf = {"features": "mel_encoder", "features_conf": {"model": str(tmp_path / "model")}}
    score = run(data, tmp_path / "exp", "--train", data / "train", num_clusters=[4], **conf)
    assert [row["layer"] for row in score["units"]] == ["0", "1", "2"]
    quantizer = KMeansQuantizer.load(tmp_path / "exp/units/2_4")
    features = build_features("mel_encoder", conf["features_conf"])
    Tokenizer(features, quantizer).save(tmp_path / "tokenizer")
    ready = run(data, tmp_path / "ready", "--tokenizer", tmp_path / "tokenizer")
    (row,), last = ready["units"], score["units"][2]
    assert row["layer"] == "2"
    assert (row["pnmi"], row["abx_across"]) == (last["pnmi"], last["abx_across"])


def test_units_are_those_of_the_recipe(data, tmp_path):
    """The same k-means as stage fit_tokenizer's, and the same figures as of its tokenizer."""
    fitted = run(data, tmp_path / "exp", "--train", data / "train", num_clusters=[8])
    config = TokenizerConfig(quantizer_conf=KMeansConfig(8))
    tokenizer = TokenizerFit(config, data / "train", tmp_path / "tokenizer").run()
    stored = KMeansQuantizer.load(tmp_path / "exp/units/mfcc_8")
    assert stored.fingerprint == tokenizer.quantizer.fingerprint
    ready = run(data, tmp_path / "ready", "--tokenizer", tmp_path / "tokenizer")
    (row,), (other,) = fitted["units"], ready["units"]
    without = {key: other[key] for key in ("r_value", "group_rate", "no_r_value")}
    reason = "neither train units nor an entropy LM."
    assert without == {"r_value": None, "group_rate": None, "no_r_value": reason}
    assert {**row, **without} == other
    assert row["no_r_value"] is None
    assert row["group_rate"] == pytest.approx(fitted["rate"], rel=0.1)
    assert row["pnmi"]["estimate"] > 0.6
    assert row["r_value"]["estimate"] > 0.3
    assert (fitted["features_abx"], fitted["abx"]) == (ready["features_abx"], ready["abx"])


def test_a_rate_that_cannot_be_had_costs_the_r_value_alone(data, tmp_path):
    score = run(data, tmp_path / "exp", "--train", data / "train", num_clusters=[4], rate=49.9)
    (row,) = score["units"]
    assert row["r_value"] is row["group_rate"] is None
    assert row["pnmi"]["estimate"] > 0
    assert "K = 4: criterion 'planned" in (tmp_path / "exp/README.md").read_text()


@pytest.mark.slow
def test_killed_anywhere_and_run_again(data, tmp_path, monkeypatch):
    monkeypatch.setattr(unit_quality_report, "_pictures", lambda score, out: [])
    options = ("--train", data / "train")
    whole = run(data, tmp_path / "whole", *options, num_clusters=[4, 6])
    monkeypatch.setattr(unit_systems, "SHARD_SAMPLES", 16000)
    fit = unit_systems.fit_kmeans
    calls = []

    def second_fails(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(*args)

    monkeypatch.setattr(unit_systems, "fit_kmeans", second_fails)
    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "exp", *options, num_clusters=[4, 6])
    assert plain(run(data, tmp_path / "exp", *options, num_clusters=[4, 6])) == plain(whole)
    assert len(calls) == 3  # the first codebook was kept
    path = tmp_path / "exp/test/score.json"
    before = path.stat().st_mtime_ns
    run(data, tmp_path / "exp", *options, num_clusters=[4, 6])
    assert path.stat().st_mtime_ns == before
    with pytest.raises(ValueError, match=r"mfcc_4: holds units of another configuration"):
        run(data, tmp_path / "exp", *options, num_clusters=[4], seed=1)


def test_a_bad_utterance_is_named_and_left_out(data, tmp_path, caplog):
    shutil.copytree(data / "test", tmp_path / "bad" / "test")
    wavs = (data / "test/wav.scp").read_text().splitlines()
    wavs[3] = f"{wavs[3].split()[0]} {tmp_path}/missing.flac"
    (tmp_path / "bad/test/wav.scp").write_text("\n".join(wavs) + "\n")
    options = ("--train", data / "train", "--max_failed", "0.1")
    score = run(tmp_path / "bad", tmp_path / "exp", *options, num_clusters=[4])
    assert list(score["failed"]) == ["u-3"]
    assert score["utterances"] == 17
    assert "skipped u-3" in caplog.text
    assert "1 failed" in (tmp_path / "exp/README.md").read_text()
    with pytest.raises(ValueError, match="1 of 18 utterances failed"):
        run(
            tmp_path / "bad", tmp_path / "none", *options[:2], "--max_failed", "0", num_clusters=[4]
        )


def test_boundaries_of_a_scored_dump(data, tmp_path):
    """An entropy that is high exactly where a phone begins."""
    TokenizerFit(
        TokenizerConfig(quantizer_conf=KMeansConfig(8)), data / "train", tmp_path / "tokenizer"
    ).run()
    scored = tmp_path / "scored"
    scored.mkdir()
    lengths = read_num_samples(data / "test")
    phones = read_ctm(data / "test/ctm.phones")
    matrices = {}
    for utt, samples in lengths.items():
        units = num_units(samples)
        starts = np.rint([50 * span.start for span in phones[utt]]).astype(int)
        entropy = np.full(units, 0.1)
        entropy[starts[starts < units]] = 3.0
        matrices[utt] = np.stack([np.arange(units) % 8, entropy], 1).astype(np.float32)
    kaldiio.save_ark(str(scored / "scored.ark"), matrices, scp=str(scored / "scored.scp"))
    shutil.copy(data / "test/utt2num_samples", scored)
    (scored / "meta.yaml").write_text("{tokenizer: a, entropy_lm: b, num_clusters: 8}\n")
    options = ("--tokenizer", tmp_path / "tokenizer", "--scored", scored)
    score = run(data, tmp_path / "exp", *options, rate=11.0)
    assert score["entropy"] == "entropy_lm"
    assert score["units"][0]["r_value"]["estimate"] > 0.8
    lines = (scored / "scored.scp").read_text().splitlines()
    (scored / "scored.scp").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(ValueError, match=r"lacks 1 utterance\(s\), u-0 first"):
        run(data, tmp_path / "other", *options)


def test_one_speaker_and_no_abx(data, tmp_path):
    make_set(tmp_path / "one" / "test", ["z"], 3)
    options = ("--train", data / "train")
    score = run(tmp_path / "one", tmp_path / "exp", *options, num_clusters=[4])
    assert score["bootstrap"]["drawn"] == "utterances"
    (row,) = score["units"]
    assert row["pnmi"]["low"] < row["pnmi"]["estimate"] < row["pnmi"]["high"]
    assert row["abx_within"]["low"] is None
    assert "abx_across" not in row
    config = {"num_clusters": [4], "abx": {"max_items": 0}}
    score = run(data, tmp_path / "without", *options, **config)
    assert "abx_within" not in score["units"][0]
    assert "ABX" not in quality_table(score)


def test_refusals(data, tmp_path):
    with pytest.raises(ValueError, match="give --train to fit units, or --tokenizer"):
        run(data, tmp_path / "exp")
    with pytest.raises(ValueError, match="--scored goes with --tokenizer"):
        run(data, tmp_path / "exp", "--train", data / "train", "--scored", tmp_path)
    with pytest.raises(ValueError, match="layers: mfcc has none"):
        run(data, tmp_path / "exp", "--train", data / "train", layers=[1])
    with pytest.raises(ValueError, match="num_clusters: expected different codebook sizes"):
        run(data, tmp_path / "exp", "--train", data / "train", num_clusters=[4, 4])
    shutil.copytree(data / "test", tmp_path / "test")
    (tmp_path / "test/ctm.phones").unlink()
    with pytest.raises(ValueError, match=r"lacks ctm.phones, .*bin.align --data"):
        run(tmp_path, tmp_path / "exp", "--train", data / "train", num_clusters=[4])
    assert not (tmp_path / "exp/test/score.json").exists()
