import json

import kaldiio
import numpy as np
import pytest
import yaml

from espnet_entropy.bin import score_asr as command
from espnet_entropy.evaluation.asr_meta import complete, read_meta
from espnet_entropy.evaluation.per_utt import read_per_utt
from espnet_entropy.evaluation.record import read_score
from espnet_entropy.evaluation.transcripts import read_transcripts


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "data/seen/text", "c\nb the cat sat\na a dog ran\nd hello\n")
    write(tmp_path / "decode/seen/text", "a a dog ran\nb a cat sat down\nc oh\n")
    write(tmp_path / "data/seen/utt2spk", "a s\nb s\nc t\nd t\ne x\n")
    write(tmp_path / "data/train/text", "x a dog ran\ny no\n")
    return tmp_path


def run(files, *more):
    places = ("--ref", files / "data/seen/text", "--hyp", files / "decode/seen/text")
    command.main([*map(str, (*places, "--out", files / "out", *more))])
    return read_score(files / "out/score.json")


def test_everything_is_counted(files, caplog, capsys):
    score = run(
        files,
        *("--train_text", files / "data/train/text", "--utt2spk", files / "data/seen/utt2spk"),
    )
    assert (score["task"], score["test_set"]) == ("asr", "seen")
    wer = score["wer"]
    # b: the -> a, + down; c: + oh; d is missing: - hello
    assert [wer[n] for n in ("hits", "substitutions", "deletions", "insertions")] == [5, 1, 1, 2]
    assert wer["reference"] == 7
    assert wer["estimate"] == pytest.approx(4 / 7, abs=1e-6)
    assert wer["low"] <= wer["estimate"] <= wer["high"]
    assert score["cer"]["reference"] == len("the cat sat") + len("a dog ran") + len("hello")
    assert score["missing"] == ["d"]
    assert "d" in caplog.text
    assert score["utterances_with_errors"] == 3
    assert score["parts"]["in_train"]["utterances"] == 1
    assert score["parts"]["in_train"]["wer"]["estimate"] == 0
    assert score["parts"]["new"]["wer"]["estimate"] == 1.0
    assert score["bootstrap"]["by"] == "speaker"
    assert "only 2 speakers" in score["bootstrap"]["note"]
    assert score["seed"] is None
    assert "jiwer" in score["signatures"]["wer"]
    assert {"git", "versions", "command"} <= set(score)
    assert "WER 57.14 %" in capsys.readouterr().out


def test_files_of_utterances(files):
    run(files, "--utt2spk", files / "data/seen/utt2spk")
    rows = json.loads((files / "out/per_utt.json").read_text())["utterances"]
    assert [row["utt"] for row in rows] == ["a", "b", "c", "d"]
    expected = {"hits": 0, "substitutions": 0, "deletions": 0, "insertions": 1, "reference": 0}
    assert rows[2]["words"] == expected
    assert rows[3]["missing"]
    found = read_per_utt(files / "out")
    assert found.counts["words"].errors.tolist() == [0, 2, 1, 1]
    assert found.speakers == ["s", "s", "t", "t"]
    assert found.in_train is None
    blocks = (files / "out/aligned.txt").read_text().split("\n\n")
    assert blocks[0].splitlines() == [
        "b: 2 errors in 3 words",
        "  ref the cat sat ****",
        "  hyp a   cat sat down",
        "      S           I",
    ]
    assert "no hypothesis" in blocks[2]


def test_one_speaker_cannot_be_drawn(files):
    write(files / "data/seen/utt2spk", "a s\nb s\nc s\nd s\n")
    score = run(files, "--utt2spk", files / "data/seen/utt2spk")
    assert score["bootstrap"]["by"] == "utterance"
    assert "one speaker" in score["bootstrap"]["note"]
    assert score["wer"]["low"] < score["wer"]["high"]


def test_case_only_if_asked(files):
    write(files / "decode/seen/text", "a A DOG RAN\nb THE CAT SAT\nc\nd HELLO\n")
    assert run(files)["wer"]["hits"] == 0
    score = run(files, "--upper_case")
    assert score["wer"]["estimate"] == 0
    assert "case:upper" in score["signatures"]["wer"]


def test_results_are_the_same_again(files):
    first = run(files)
    before = [(files / "out" / n).read_bytes() for n in ("per_utt.json", "aligned.txt")]
    assert run(files) == first
    assert before == [(files / "out" / n).read_bytes() for n in ("per_utt.json", "aligned.txt")]


def test_hypotheses_of_another_set_are_refused(files):
    write(files / "decode/seen/text", "a x\nz1 y\nz2 y\nz3 y\nz4 y\n")
    with pytest.raises(ValueError, match=r"4 of 5 utterances are not in .*z1, z2, z3 and 1 more"):
        run(files)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("decode/seen/text", "", "nothing was recognized"),
        ("data/seen/text", "", "no utterances; expected"),
        ("data/seen/text", "a x\na y\n", "'a' occurs twice"),
        ("data/seen/utt2spk", "a s\n", "lacks 3 of the reference's 4"),
    ],
)
def test_broken_files(files, name, content, message):
    write(files / name, content)
    with pytest.raises(ValueError, match=message):
        read_transcripts(
            files / "data/seen/text", files / "decode/seen/text", files / "data/seen/utt2spk"
        )


def test_meta_from_several_files(tmp_path, caplog):
    first = write(tmp_path / "a.yaml", "method: m1\nseed: 3\nthresholds: 1.0\n")
    second = write(tmp_path / "b.json", '{"parameters": 1000, "seed": 3, "lr": 1e-4}')
    found = complete(read_meta([first, second]))
    assert (found["method"], found["seed"], found["parameters"]) == ("m1", 3, 1000)
    assert found["threshold"] is None
    assert found["more"] == {"thresholds": 1.0, "lr": 1e-4}
    assert "Did you mean 'threshold'" in caplog.text
    write(tmp_path / "b.json", '{"seed": 4}')
    with pytest.raises(ValueError, match=r"b\.json: seed is 4, but .*a\.yaml says 3"):
        read_meta([first, second])
    write(tmp_path / "b.json", '{"seed": "four"}')
    with pytest.raises(ValueError, match=r"b\.json: seed: expected int, got 'four'"):
        read_meta([second])


def write_scored(directory):
    """8 + 4 units; global at 1.5 nats makes 3 + 2 groups."""
    entropy = {"a": [9, 0, 2, 0, 0, 3, 1, 1], "b": [0, 0, 0, 2]}
    directory.mkdir()
    with kaldiio.WriteHelper(f"ark,scp:{directory}/scored.ark,{directory}/scored.scp") as writer:
        for utt, values in entropy.items():
            units = np.arange(len(values)) // 2
            writer(utt, np.stack([units, values], axis=1).astype(np.float32))
    write(directory / "utt2num_samples", "a 2640\nb 1360\n")  # 0.25 s together
    content = {"tokenizer": "t", "entropy_lm": "e", "num_clusters": 10}
    write(directory / "meta.yaml", yaml.safe_dump(content))
    return directory


def test_rate_is_counted_on_the_dump(tmp_path):
    scored = write_scored(tmp_path / "scored")
    own = write(tmp_path / "seg.yaml", "criterion: global\nthreshold: 1.5\n")
    found = complete({}, segmenter=own, scored=scored)
    assert found["achieved_rate"] == pytest.approx((3 + 2) / 0.25)
    assert (found["criterion"], found["threshold"]) == ("global", 1.5)
    espnet = {"frontend_conf": {"segmenter": {"criterion": "dedup"}}, "seed": 1}
    espnet = write(tmp_path / "config.yaml", yaml.safe_dump(espnet))
    assert complete({}, segmenter=espnet, scored=scored)["achieved_rate"] == (4 + 2) / 0.25
    known = complete({"achieved_rate": 7.5}, scored=scored)
    assert known["achieved_rate"] == 7.5
    with pytest.raises(ValueError, match="the rate needs a segmenter"):
        complete({}, scored=scored)
    with pytest.raises(ValueError, match="holds no segmenter"):
        complete({}, segmenter=write(tmp_path / "x.yaml", "a: 1\n"), scored=scored)


def write_recognizer(directory, frontend, **more):
    """The small files of a recognizer directory; weights are not looked at."""
    (directory / "compressor").mkdir(parents=True)
    for name in ("model.safetensors", "tokens.txt"):
        write(directory / name, "")
    manifest = {
        **{"format": 1, "fingerprint": "f" * 16, "tokenizer": "t", "entropy_lm": "e"},
        **{"num_clusters": 10, "criterion": "global", "rate": 15.0, "token_type": "char"},
        **{"vocabulary": 30, "parameters": {"encoder": 90, "decoder": 10, "total": 100}},
        "decoding": {},
        "training": {"experiment": "asr_m1", "seed": 7, "epochs": 20, "minutes": 1.5},
        **more,
    }
    write(directory / "recognizer.yaml", yaml.safe_dump(manifest))
    write(directory / "config.yaml", yaml.safe_dump({"frontend_conf": frontend}))
    return directory


def test_what_the_recognizer_says(files, tmp_path):
    segmenter = {"criterion": "global", "threshold": 1.0, "scale": "bits"}
    model = write_recognizer(tmp_path / "recognizer", {"segmenter": segmenter})
    score = run(files, "--recognizer", model, "--scored", write_scored(tmp_path / "scored"))
    expected = {
        **{"method": "asr_m1", "criterion": "global", "target_rate": 15.0, "seed": 7},
        **{"parameters": 100, "epochs": 20, "train_minutes": 1.5, "model": "f" * 16},
        **{"threshold": 0.693147, "achieved_rate": (5 + 2) / 0.25},
    }
    assert {key: score[key] for key in expected} == expected
    write(files / "decode/seen/decode.yaml", f"fingerprint: {'a' * 16}\n")
    with pytest.raises(ValueError, match=r"decoded by model a+, but"):
        run(files, "--recognizer", model)


def test_rate_of_a_unit_bpe(tmp_path):
    from espnet_entropy.segmenter.unit_bpe import UnitBPE

    scored = write_scored(tmp_path / "scored")
    model = write_recognizer(tmp_path / "r", {"unit_bpe": "unit_bpe.model"}, criterion="unit_bpe")
    bpe = UnitBPE.train(scored, 12, model)
    found = complete({}, recognizer=model, scored=scored)
    assert found["achieved_rate"] == pytest.approx(bpe.card.rate)
    assert found["achieved_rate"] < (4 + 2) / 0.25  # fewer than runs of units
    assert (found["criterion"], found["threshold"]) == ("unit_bpe", None)


def test_what_decoding_said(files):
    content = {"truncated": 2, "failed": 1, "rate": 14.5, "decoding": {"beam_size": 5}}
    write(files / "decode/seen/decode.yaml", yaml.safe_dump(content))
    score = run(files)
    assert (score["truncated"], score["failed"], score["achieved_rate"]) == (2, 1, 14.5)
    assert score["decoding"] == {"beam_size": 5}


def test_starts_without_torch():
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from espnet_entropy.evaluation import compare, score_asr, asr_meta, asr_report, "
        "sweep_table\nimport jiwer\n"
        "assert not {'torch', 'espnet2', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
