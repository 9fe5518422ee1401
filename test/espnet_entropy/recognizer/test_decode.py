"""Sets to text through the command, and transcribe."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from toy_recognizer import write_dump

from espnet_entropy.bin.asr_infer import main as infer
from espnet_entropy.bin.main import main as command
from espnet_entropy.recognizer import SpeechToText
from espnet_entropy.utils.config import read_yaml, write_yaml
from espnet_entropy.utils.scp import read_scp


@pytest.fixture
def dump(tmp_path, scored, model_dir):
    return write_dump(tmp_path / "dump/test", scored, model_dir)


def options(packed, dump, out, *more):
    made = ["--model", str(packed), "--scored", str(dump), "--out", str(out)]
    return [*made, "--shard_units", "150", *more]


def test_a_set(packed, dump, tmp_path, scored):
    out = tmp_path / "decode"
    for job in ("1", "2"):
        infer(options(packed, dump, out, "--job", job, "--nj", "2"))
    infer(options(packed, dump, out, "--merge"))
    recognizer = SpeechToText.from_pretrained(packed)
    expected = {utt: recognizer.decode_scored(matrix) for utt, matrix in scored.items()}
    text = read_scp(out / "text", allow_empty=True)
    assert text == {utt: transcript.text for utt, transcript in expected.items()}
    said = read_yaml(out / "decode.yaml")
    assert said["utterances"] == len(scored)
    assert said["truncated"] == sum(t.truncated for t in expected.values())
    assert said["groups"] == sum(t.num_groups for t in expected.values())
    assert said["decoding"]["beam_size"] == 3
    assert (out / "failed").read_text() == ""
    whole = (out / "text").read_bytes()
    # killed in the last shard: what is finished stays, the rest comes out the same
    shards = sorted((out / "shards").glob("text.*.json"))
    shards = [shard for shard in shards if "key" not in shard.name]
    assert len(shards) > 1
    kept = shards[0].stat().st_mtime_ns
    shards[-1].unlink()
    with pytest.raises(ValueError, match="lacks shard"):
        infer(options(packed, dump, out, "--merge"))
    assert not (out / "text").exists()
    infer(options(packed, dump, out))
    infer(options(packed, dump, out, "--merge"))
    assert (out / "text").read_bytes() == whole
    assert shards[0].stat().st_mtime_ns == kept
    # one job or two, the same shards
    infer(options(packed, dump, tmp_path / "one"))
    infer(options(packed, dump, tmp_path / "one", "--merge"))
    assert (tmp_path / "one/text").read_bytes() == whole


def test_other_settings_or_a_damaged_shard(packed, dump, tmp_path):
    out = tmp_path / "decode"
    infer(options(packed, dump, out))
    with pytest.raises(ValueError, match="another model or utterance list"):
        infer(options(packed, dump, out, "--beam_size", "1"))
    with pytest.raises(ValueError, match="another model or utterance list"):
        infer(options(packed, dump, out, "--beam_size", "1", "--merge"))
    (out / "shards/text.1.json").write_text("{")
    with pytest.raises(ValueError, match=r"text.1.json: damaged"):
        infer(options(packed, dump, out, "--merge"))


def test_empty_and_cut_texts_are_counted(packed, dump, tmp_path, scored):
    infer(options(packed, dump, tmp_path / "d", "--max_length", "1", "--beam_size", "1"))
    infer(options(packed, dump, tmp_path / "d", "--max_length", "1", "--beam_size", "1", "--merge"))
    said = read_yaml(tmp_path / "d/decode.yaml")
    text = read_scp(tmp_path / "d/text", allow_empty=True)
    assert set(text) == set(scored)
    assert said["empty"] == sum(not words for words in text.values())
    assert said["truncated"] > 0


def test_bad_utterances_are_named(packed, tmp_path, scored, model_dir):
    bad = {"outside": np.array([[99, 1.0]], np.float32), "odd": np.ones((4, 3), np.float32)}
    samples = {utt: 400 + 320 * (len(m) - 1) for utt, m in (scored | bad).items()}
    dump = write_dump(tmp_path / "dump", scored | bad, model_dir, samples)
    infer(options(packed, dump, tmp_path / "d"))
    with pytest.raises(ValueError, match="2 of 7 utterances failed"):
        infer(options(packed, dump, tmp_path / "d", "--merge"))
    assert not (tmp_path / "d/text").exists()
    infer(options(packed, dump, tmp_path / "d", "--merge", "--max_failed", "0.5"))
    failed = read_scp(tmp_path / "d/failed")
    assert set(failed) == {"outside", "odd"}
    assert set(read_scp(tmp_path / "d/text", allow_empty=True)) == set(scored)


def test_a_set_of_another_model(packed, dump, tmp_path):
    write_yaml(dump / "meta.yaml", read_yaml(dump / "meta.yaml") | {"tokenizer": "other"})
    with pytest.raises(ValueError, match="tokenizer is other, but"):
        infer(options(packed, dump, tmp_path / "d"))


def test_transcribe(packed, wavs, tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", wavs["u1"], 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", wavs["u3"], 16000, subtype="FLOAT")
    (tmp_path / "wav.scp").write_text(f"utt2 {tmp_path}/b.wav\n")
    files = [str(tmp_path / "a.wav"), str(tmp_path / "wav.scp")]
    command(["transcribe", *files, "--model", str(packed)])
    recognizer = SpeechToText.from_pretrained(packed)
    first, second = recognizer(wavs["u1"]), recognizer(wavs["u3"])
    expected = [f"a {first.text}".rstrip(), f"utt2 {second.text}".rstrip()]
    assert capsys.readouterr().out.splitlines() == expected
    command(["transcribe", *files, "--model", str(packed), "--json", "--beam_size", "3"])
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in said] == [first.text, second.text]
    assert said[0]["num_groups"] == first.num_groups
    command(["transcribe", *files, "--model", str(packed), "--output", str(tmp_path / "o")])
    assert (tmp_path / "o").read_text().splitlines() == expected


@pytest.mark.slow
def test_one_bad_file_is_named_and_skipped(packed, wavs, tmp_path):
    shutil.copytree(packed, tmp_path / "elsewhere")
    soundfile.write(tmp_path / "a.wav", wavs["u1"], 16000)
    (tmp_path / "bad.wav").write_bytes(b"RIFF not really")
    words = [sys.executable, "-X", "importtime", "-m", "espnet_entropy", "transcribe"]
    result = subprocess.run(
        [*words, "bad.wav", "a.wav", "--model", "elsewhere"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert result.returncode == 1, result.stderr
    assert "skipped bad" in result.stderr
    assert [line.split(" ")[0] for line in result.stdout.splitlines()] == ["a"]
    assert "espnet2.tasks" not in result.stderr  # which takes 20 s to import


def test_nothing_could_be_read(packed, tmp_path):
    with pytest.raises(ValueError, match="no input could be read"):
        command(["transcribe", str(tmp_path / "none.wav"), "--model", str(packed)])


def test_a_damaged_compressor_is_no_fault_of_the_files(packed, wavs, tmp_path):
    shutil.copytree(packed, tmp_path / "r")
    soundfile.write(tmp_path / "a.wav", wavs["u1"], 16000)
    (tmp_path / "r/compressor/entropy_lm/model.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match="damaged safetensors file") as error:
        command(["transcribe", str(tmp_path / "a.wav"), "--model", str(tmp_path / "r")])
    assert "no input could be read" not in str(error.value)


def test_cut_texts_are_reported(packed, wavs, tmp_path, caplog):
    soundfile.write(tmp_path / "a.wav", wavs["u3"], 16000)
    limits = ["--max_length", "1", "--beam_size", "1"]
    command(["transcribe", str(tmp_path / "a.wav"), "--model", str(packed), *limits])
    assert "a: cut after 1 tokens" in caplog.text
