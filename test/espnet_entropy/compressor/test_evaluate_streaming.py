"""The evaluation of streams, from the model directory to score.json."""

import json

import numpy as np
import pytest
import soundfile

from espnet_entropy.bin.evaluate_streaming import main
from espnet_entropy.bin.main import main as espnet_entropy
from espnet_entropy.compressor import Compressor
from espnet_entropy.entropy_lm.scorer import EntropyScorer
from espnet_entropy.evaluation.streaming import listen
from espnet_entropy.segmenter.segment import lookahead, segment
from espnet_entropy.utils.grid import boundary_time


@pytest.fixture
def data(tmp_path, wav):
    """Three utterances, one too short for a frame; phones for one."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name, samples in {"a": wav, "b": wav[10_000:], "tiny": wav[:399]}.items():
        soundfile.write(folder / f"{name}.flac", samples, 16000)
    (folder / "wav.scp").write_text("".join(f"{u} {folder}/{u}.flac\n" for u in ("a", "b", "tiny")))
    (folder / "utt2spk").write_text("a s\nb s\ntiny s\n")
    (folder / "ctm.phones").write_text("a 0.0 0.5 x\na 0.5 0.8 y\na 1.3 1.0 z\n")
    return folder


def test_the_command(utterance_model, data, tmp_path, capsys):
    out = tmp_path / "exp" / "toy"
    options = ["--model", str(utterance_model), "--data", str(data), "--out", str(out)]
    main([*options, "--max_failed", "0.5", "--criterion", "global", "--rate", "7"])
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    assert line.startswith("toy: stream against full context: equal units ")
    assert line.endswith("; 1 failed: tiny\n")
    score = json.loads((out / "score.json").read_text())
    assert score["task"] == "streaming"
    assert (score["criterion"], score["target_rate"]) == ("global", 7.0)
    assert score["utterances"] == 2
    assert "shorter than one frame" in score["failed"]["tiny"]
    assert score["model"]["full_context"] == {"normalize": "utterance"}
    assert score["model"]["stream"] == {"normalize": "causal"}
    assert (out / "failed.txt").read_text().startswith("tiny ")
    assert score["phones"]["utterances"] == 1
    assert score["phones"]["boundaries"] == 3  # the start of the utterance is none

    compressor = Compressor.from_pretrained(utterance_model, 7, "global")
    wavs = [soundfile.read(data / f"{utt}.flac", dtype="float32")[0] for utt in ("a", "b")]
    full = compressor.tokenizer.batch(wavs)
    stream = compressor.tokenizer.streaming().batch(wavs)
    equal = np.concatenate(full) == np.concatenate(stream)
    assert 0.3 < equal.mean() < 1
    assert score["equal_units"]["all"]["estimate"] == pytest.approx(equal.mean(), abs=1e-5)
    groups = sum(segment(u, compressor.scorer.score(u), compressor.segmenter).sum() for u in stream)
    rate = groups / score["seconds"]
    assert score["rate"]["stream"]["estimate"] == pytest.approx(rate, rel=0.02)

    page = (out / "README.md").read_text()
    assert "- tiny: " in page
    assert "phone R-value, ±20 ms (1 utterances)" in page


def test_too_many_failures_stop_the_run(utterance_model, data, tmp_path):
    options = ["--model", str(utterance_model), "--data", str(data), "--out", str(tmp_path / "o")]
    with pytest.raises(ValueError, match="1 of 3 utterances failed"):
        main(options)
    assert not (tmp_path / "o" / "score.json").exists()


def test_waits_are_what_features_and_segmenter_declare(utterance_model, wav):
    compressor = Compressor.from_pretrained(utterance_model)
    assert lookahead(compressor.segmenter) == 3
    pair = listen(compressor, compressor.tokenizer.full_context(), wav)
    expected = compressor.tokenizer.features.latency + 3 * 0.02 - boundary_time(0)
    np.testing.assert_allclose(pair.waits, expected, atol=1e-9)
    # what the end of the audio closed is left out: groups that end in its last frames
    assert len(pair.waits) == pair.starts[1].sum() - 1 - pair.starts[1][-7:].sum()
    np.testing.assert_array_equal(pair.units[1], compressor.tokenizer.streaming()(wav))
    np.testing.assert_array_equal(pair.units[0], compressor.tokenizer(wav))
    entropy = EntropyScorer(compressor.lm).score(pair.units[1])
    np.testing.assert_allclose(pair.entropy[1], entropy, atol=1e-4)
    starts = segment(pair.units[1], entropy, compressor.segmenter)
    np.testing.assert_array_equal(pair.starts[1], starts)


def test_a_chunked_hubert_waits_for_its_chunks(hubert_model, wav):
    compressor = Compressor.from_pretrained(hubert_model)
    full_context = compressor.tokenizer.full_context()
    pair = listen(compressor, full_context, wav)
    np.testing.assert_array_equal(pair.units[0], full_context(wav))
    offline = compressor(wav)
    np.testing.assert_array_equal(pair.units[1], offline.units)
    np.testing.assert_array_equal(pair.starts[1], offline.starts)
    assert 0.3 < np.mean(pair.units[0] == pair.units[1]) < 1
    most = compressor.tokenizer.features.latency + 3 * 0.02 - boundary_time(0)
    assert 0.1 < pair.waits.min() < pair.waits.mean() < pair.waits.max() <= most + 1e-9


def test_the_recipes_kind_of_model_streams(utterance_model, wav, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", wav, 16000)
    espnet_entropy(
        ["compress", str(tmp_path / "a.wav"), "--stream", "--model", str(utterance_model)]
    )
    groups = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    read, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    expected = Compressor.from_pretrained(utterance_model).tokenizer.streaming()(read)
    assert [unit for group in groups for unit in group["units"]] == expected.tolist()
