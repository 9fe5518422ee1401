import itertools
import json
import os
import stat

import numpy as np
import pytest
import soundfile

from espnet_entropy.bin.align import main
from espnet_entropy.corpora.alignment import Interval, read_alignments, read_ctm, write_textgrid
from espnet_entropy.evaluation.align_ctc import (
    CTCAligner,
    force_align,
    letters_and_words,
    phone_intervals,
)

FAKE_MFA = """#!/bin/sh
[ "$1" = align ] || exit 9
[ "$3 $4" = "english_us_arpa english_us_arpa" ] || exit 8
mkdir -p "$5"
for lab in "$2"/*/*.lab; do
  utt=$(basename "$lab" .lab); speaker=$(basename "$(dirname "$lab")")
  [ -s "${lab%.lab}.wav" ] || exit 7
  [ "$(cat "$lab")" = "unknown" ] && continue
  mkdir -p "$5/$speaker"
  cat > "$5/$speaker/$utt.TextGrid" <<END
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 1.0
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 1.0
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 1.0
            text = "$(cat "$lab")"
    item [2]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 1.0
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.25
            text = ""
        intervals [2]:
            xmin = 0.25
            xmax = 0.6
            text = "AA1"
        intervals [3]:
            xmin = 0.6
            xmax = 1.0
            text = "B"
END
done
"""


def make_data(path, texts, seconds=1.0):
    path.mkdir()
    generator = np.random.default_rng(0)
    lines = {"wav.scp": [], "text": [], "utt2spk": [], "spk2utt": []}
    for utt, text in sorted(texts.items()):
        speaker = utt.split("-")[0]
        wav = (0.1 * generator.standard_normal(int(seconds * 16000))).astype(np.float32)
        soundfile.write(path / f"{utt}.wav", wav, 16000)
        lines["wav.scp"].append(f"{utt} {path / utt}.wav\n")
        lines["text"].append(f"{utt} {text}\n")
        lines["utt2spk"].append(f"{utt} {speaker}\n")
        lines["spk2utt"].append(f"{speaker} {utt}\n")
    for name, content in lines.items():
        (path / name).write_text("".join(content))
    return path


def executable(path, content):
    path.write_text(content)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_mfa_on_the_path(tmp_path, monkeypatch):
    executable(tmp_path / "mfa", FAKE_MFA)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    data = make_data(tmp_path / "data", {"a-1": "hello", "a-1.5": "dots", "b-2": "unknown"})
    main(["--data", str(data), "--max_failed", "0.5"])
    found = read_alignments(data)
    assert found["words"] == {"a-1": [(0.25, 1.0, "hello")], "a-1.5": [(0.25, 1.0, "dots")]}
    assert found["phones"]["a-1"] == [(0.25, 0.6, "AA1"), (0.6, 1.0, "B")]
    assert (data / "align.failed").read_text().startswith("b-2 MFA wrote no alignment")
    assert "Montreal Forced Aligner" in (data / "alignment.yaml").read_text()
    assert not (data / ".align.unfinished").exists()

    before = (data / "ctm.words").read_text()
    (data / "text").write_text("a-1 other\na-1.5 other\nb-2 other\n")
    main(["--data", str(data)])
    assert (data / "ctm.words").read_text() == before  # an alignment that exists stays
    (data / ".align.unfinished").touch()  # … unless the run that wrote it was killed
    main(["--data", str(data)])
    assert read_ctm(data / "ctm.words")["b-2"] == [(0.25, 1.0, "other")]


def test_textgrids_that_exist(tmp_path):
    utts = ["a-1", "a-1.5", "b-2", "b-3", "b-4", "b-5"]
    data = make_data(tmp_path / "data", dict.fromkeys(utts, "x"))
    (data / "text").unlink()  # nobody needs it
    grids = tmp_path / "mfa"
    (grids / "a").mkdir(parents=True)
    words = [Interval(0.25, 1.0, "hello")]
    phones = [Interval(0.25, 0.6, "AA1"), Interval(0.6, 1.0, "B")]
    both = {"words": words, "phones": phones}
    write_textgrid(grids / "a" / "a-1.TextGrid", both, 1.0)
    write_textgrid(grids / "a" / "a-1.5.TextGrid", both, 1.0)
    write_textgrid(grids / "b-3.TextGrid", {"words": words}, 1.0)
    (grids / "b-4.TextGrid").write_text("nonsense")
    write_textgrid(grids / "b-5.TextGrid", both | {"words": [Interval(0.0, 1.0, "a b")]}, 1.0)
    write_textgrid(grids / "z-9.TextGrid", both, 1.0)  # of another set
    use = ["--data", str(data), "--method", "textgrid", "--textgrids", str(grids)]
    with pytest.raises(ValueError, match="4 of 6 utterances failed"):
        main(use)
    assert not list(data.glob("ctm.*"))
    main([*use, "--max_failed", "0.7"])
    assert read_alignments(data) == {
        "words": {"a-1": words, "a-1.5": words},
        "phones": {"a-1": phones, "a-1.5": phones},
    }
    assert str(grids) in (data / "alignment.yaml").read_text()
    why = dict(line.split(maxsplit=1) for line in (data / "align.failed").read_text().splitlines())
    assert why["b-2"] == f"{grids}: no b-2.TextGrid there or below."
    assert "b-3.TextGrid: tier 'phones' is absent" in why["b-3"]
    assert "b-4.TextGrid: not a readable TextGrid" in why["b-4"]
    assert "b-5.TextGrid: label 'a b'" in why["b-5"]
    for half in (["--method", "textgrid"], ["--textgrids", str(grids)]):
        with pytest.raises(ValueError, match="go together"):
            main(["--data", str(data), *half])


def test_failing_mfa_is_quoted(tmp_path):
    mfa = executable(tmp_path / "my-mfa", "#!/bin/sh\necho no such dictionary\nexit 3\n")
    data = make_data(tmp_path / "data", {"a-1": "hello"})
    with pytest.raises(ValueError, match=r"exit status 3[\s\S]*no such dictionary"):
        main(["--data", str(data), "--mfa", str(mfa)])
    assert not list(data.glob("ctm.*"))


def test_no_aligner_at_all(tmp_path):
    data = make_data(tmp_path / "data", {"a-1": "hello"})
    with pytest.raises(ValueError, match="no CTC model was named"):
        main(["--data", str(data), "--mfa", "no-such-mfa"])
    with pytest.raises(ValueError, match="not on the PATH"):
        main(["--data", str(data), "--mfa", "no-such-mfa", "--method", "mfa"])
    with pytest.raises(ValueError, match=r"lacks 'text\.phones'"):
        main(["--data", str(data), "--text", "text.phones"])


def emission(path, size, sure=8.0):
    """(N, V) log-probabilities that favour ``path``."""
    logits = np.zeros((len(path), size), np.float32)
    logits[np.arange(len(path)), path] = sure
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_known_emissions():
    #               blank a a blank b b blank blank b blank
    path = np.array([0, 1, 1, 0, 2, 2, 0, 0, 2, 0])
    assert force_align(emission(path, 3), [1, 2, 2], 0) == [(1, 3), (4, 6), (8, 9)]


def test_alignment_is_the_best_of_all_paths():
    """Against every path of five frames that spells the tokens."""
    generator = np.random.default_rng(0)
    for _ in range(10):
        logits = generator.standard_normal((5, 3)).astype(np.float32)
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        tokens = [1, 2]
        best = max(
            (path for path in itertools.product(range(3), repeat=5) if spell(path) == tokens),
            key=lambda path: sum(log_probs[i, label] for i, label in enumerate(path)),
        )
        spans = force_align(log_probs, tokens, 0)
        assert [best.index(1), best.index(2)] == [span[0] for span in spans]
        assert [best.count(1), best.count(2)] == [end - start for start, end in spans]


def spell(path):
    return [label for label, _ in itertools.groupby(path) if label != 0]


def test_too_few_frames_are_named():
    with pytest.raises(ValueError, match="3 frames of 20 ms for 3 tokens, 1 of them repeated"):
        force_align(emission([1, 1, 1], 3), [1, 1, 2], 0)


def test_letters_and_words():
    spans = [(5, 6), (10, 12), (14, 15), (16, 18), (40, 41)]
    letters, words = letters_and_words("ab c", spans[:4], delimited=True)
    gap = (12 + 16) / 2 * 0.02 + 0.0025
    assert [tuple(i) for i in words] == [
        (0.1025, pytest.approx(gap), "ab"),
        (pytest.approx(gap), 0.3625, "c"),
    ]
    assert [i.label for i in letters] == ["a", "b", "c"]
    assert letters[0].end == letters[1].start == pytest.approx(0.2025)
    _, words = letters_and_words("ab c", [*spans[:2], spans[4]], delimited=False)
    assert words[0].end == pytest.approx(0.2425)  # 560 ms to the next word: silence
    assert words[1].start == pytest.approx(0.8025)


def test_phone_intervals():
    found = phone_intervals(["AA", "B", "S"], [(0, 1), (4, 5), (30, 31)])
    assert [tuple(i) for i in found] == [
        (0.0, pytest.approx(0.0825), "AA"),
        (pytest.approx(0.0825), pytest.approx(0.1025), "B"),
        (pytest.approx(0.6025), pytest.approx(0.6225), "S"),
    ]


@pytest.fixture(scope="module")
def ctc_model(tmp_path_factory):
    from small_speech_model import save_speech_model

    path = tmp_path_factory.mktemp("ctc")
    vocab = ["<pad>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    size = {"vocab_size": len(vocab), "pad_token_id": 0}
    save_speech_model(path, "wav2vec2", "ForCTC", normalize=True, **size)
    (path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocab)}))
    return path


def test_ctc_plumbing(tmp_path, ctc_model):
    texts = {"a-1": "hello world", "a-2": "año", "b-3": "yes " * 30}
    data = make_data(tmp_path / "data", texts)
    model = ["--method", "ctc", "--ctc_model", str(ctc_model)]
    main(["--data", str(data), *model, "--max_failed", "0.7"])
    words = read_ctm(data / "ctm.words")
    assert [i.label for i in words["a-1"]] == ["hello", "world"]
    assert "".join(i.label for i in read_ctm(data / "ctm.chars")["a-1"]) == "helloworld"
    assert all(0 <= i.start < i.end <= 1.0 for i in words["a-1"])
    failed = (data / "align.failed").read_text()
    assert "a-2 the transcript has 'ñ', which the vocabulary of" in failed
    assert "b-3 too short: 49 frames" in failed
    assert list(words) == ["a-1"]
    assert "CTC alignment" in (data / "alignment.yaml").read_text()


def test_a_model_whose_alignment_is_known(ctc_model, monkeypatch):
    aligner = CTCAligner(str(ctc_model))
    path = np.zeros(60, int)
    path[[10, 11]] = aligner.vocab["N"]
    path[[15]] = aligner.vocab["O"]
    path[[18]] = aligner.vocab["|"]
    path[[21, 22, 23]] = aligner.vocab["I"]
    monkeypatch.setattr(aligner, "emission", lambda wav: emission(path, len(aligner.vocab)))
    found = aligner(np.zeros(20000, np.float32), " no  i")
    middle = 0.0025 + 0.02 * (16 + 21) / 2
    assert found["words"] == [
        (pytest.approx(0.2025), pytest.approx(middle), "no"),
        (pytest.approx(middle), pytest.approx(0.4825), "i"),
    ]


def test_wrong_models_and_audio_are_named(tmp_path, ctc_model):
    with pytest.raises(ValueError, match="expected a transformers CTC model"):
        CTCAligner(str(tmp_path))
    aligner = CTCAligner(str(ctc_model), kind="phone")
    with pytest.raises(ValueError, match="'AA1', which the vocabulary"):
        aligner(np.zeros(16000, np.float32), "A AA1")
    with pytest.raises(ValueError, match="too short: 300 samples"):
        aligner(np.zeros(300, np.float32), "A B")
    with pytest.raises(ValueError, match="no transcript"):
        aligner(np.zeros(16000, np.float32), "  ")
    generator = np.random.default_rng(0)
    wav = (0.1 * generator.standard_normal(16000)).astype(np.float32)
    assert [i.label for i in aligner(wav, "A B")["phones"]] == ["A", "B"]
