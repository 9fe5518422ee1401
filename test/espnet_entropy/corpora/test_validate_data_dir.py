"""Each way a data directory can be wrong, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_entropy.bin import validate_data_dir as command
from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.corpora.data_dir import Utterance, write_data_dir
from espnet_entropy.corpora.validate import inspect_data_dir, validate_data_dir


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Eight sound utterances of two speakers."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 8000)
    utts = []
    for name in [f"{speaker}-{i}" for speaker in "ab" for i in range(4)]:
        wav = tmp_path / f"{name}.flac"
        soundfile.write(wav, noise, 16000)
        words = [Interval(0.1, 0.4, "word")]
        utts.append(Utterance(name, str(wav), name[0], "word", {"fr": "mot"}, words))
    write_data_dir(tmp_path / "data", utts, {"spk2gender": {"a": "f", "b": "m"}})
    return tmp_path / "data"


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        content = (data / name).read_text()
        assert old in content
        (data / name).write_text(content.replace(old, new))

    return change


def drop_text(data: Path) -> None:
    (data / "text").write_text("a-0 word\na-1 word\n")


def latin(data: Path) -> None:
    (data / "text.fr").write_bytes("a-0 été\n".encode("latin-1"))


def segments(lines: str) -> Callable[[Path], None]:
    return lambda data: (data / "segments").write_text(lines) and None


BAD = {
    "missing file": (lambda d: (d / "utt2spk").unlink(), "utt2spk: cannot be read"),
    "empty file": (lambda d: (d / "wav.scp").write_text(""), "wav.scp: empty"),
    "duplicate": (edit("text", "a-1 word", "a-0 word"), "line 2: 'a-0' occurs twice"),
    "unsorted": (edit("utt2spk", "a-0 a\na-1 a", "a-1 a\na-0 a"), "not sorted.*'a-0' after 'a-1'"),
    "blank line": (edit("text", "a-1 word", ""), "text, line 2: blank"),
    "no value": (edit("utt2spk", "a-1 a", "a-1"), "utt2spk, line 2: 'a-1' has no value"),
    "encoding": (latin, "text.fr: not UTF-8"),
    "six missing, five shown": (
        drop_text,
        "6 of 'wav.scp' missing in 'text': a-2, a-3, b-0, b-1, b-2, …",
    ),
    "one too many": (
        lambda d: (d / "text").open("a").write("c-0 word\n"),
        "1 of 'text' missing in 'wav.scp': c-0",
    ),
    "empty text": (edit("text.fr", "a-1 mot", "a-1"), r"1 empty line\(s\) in 'text.fr': a-1"),
    "spk2utt lacks": (edit("spk2utt", "a a-0 a-1", "a a-0"), "missing in 'spk2utt': a-1 a"),
    "spk2utt other": (edit("spk2utt", "b b-0", "b a-0 b-0"), "missing in 'utt2spk': a-0 b"),
    "gender": (edit("spk2gender", "b m\n", ""), r"speaker\(s\) missing in 'spk2gender': b"),
    "pipe": (edit("wav.scp", "a-0.flac", "a-0.flac |"), r"1 pipe\(s\) in 'wav.scp'.*: a-0"),
    "no audio": (edit("wav.scp", "a-0.flac", "x.flac"), r"1 audio file\(s\) missing.*a-0 \(.*x"),
    "ctm line": (edit("ctm.words", "a-0 0.1000", "a-0 x"), "ctm.words, line 1: expected"),
    "ctm utterance": (edit("ctm.words", "a-0 ", "zz "), "of 'ctm.words' unknown.*: zz"),
    "alignment.yaml": (
        lambda d: (d / "alignment.yaml").write_text("shift: 1\n"),
        "unknown key 'shift'",
    ),
    "segment times": (segments("a-0 a-0 0.3 0.2\n"), "a-0: expected '<recording> <start> <end>'"),
    "segment recording": (segments("a-0 zz 0 0.2\n"), "missing in 'wav.scp': zz"),
}


@pytest.mark.parametrize("case", BAD)
def test_defects_are_named(data: Path, case: str) -> None:
    assert validate_data_dir(data) == []
    change, message = BAD[case]
    change(data)
    problems = "\n".join(validate_data_dir(data, audio=True))
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(problems)


def test_audio_is_decoded_when_asked(data: Path) -> None:
    wav = data.parent / "a-0.flac"
    wav.write_bytes(wav.read_bytes()[:5000])
    soundfile.write(data.parent / "b-0.flac", np.zeros(8000), 16000)
    edit("ctm.words", "b-3 0.1000", "b-3 0.9000")(data)
    assert validate_data_dir(data) == []
    report = inspect_data_dir(data, audio=True)
    assert len(report.problems) == 2
    assert "1 utterance(s) that cannot be used: a-0" in report.problems[0]
    assert "end after the audio: b-3 (1.20 s of 0.50 s)" in report.problems[1]
    assert "digital silence: b-0" in report.warnings[0]


def test_segments_are_compared_with_the_audio(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "r.flac", np.full(16000, 0.1), 16000)
    (tmp_path / "wav.scp").write_text(f"r1 {tmp_path}/r.flac\nr2 {tmp_path}/r.flac\n")
    (tmp_path / "segments").write_text("s-1 r1 0.0 0.9\ns-2 r1 0.9 5.0\n")
    (tmp_path / "utt2spk").write_text("s-1 s\ns-2 s\n")
    (tmp_path / "spk2utt").write_text("s s-1 s-2\n")
    report = inspect_data_dir(tmp_path)
    assert report.problems == []
    assert "recording(s) without a segment: r2" in report.warnings[0]
    assert "no 'text'" in report.warnings[1]
    assert "segment from 0.9 s to 5.0 s" in validate_data_dir(tmp_path, audio=True)[0]


def test_ids_without_their_speaker_warn_where_the_order_suffers(data: Path) -> None:
    edit("utt2spk", "a-1 a", "a-1 b")(data)
    assert "do not begin with their speaker's" in inspect_data_dir(data).warnings[0]


def test_command(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main([str(data)])
    assert capsys.readouterr().out == f"{data}: valid\n"
    drop_text(data)
    with pytest.raises(SystemExit) as caught:
        command.main([str(data)])
    assert caught.value.code == 1
    assert "error: " in capsys.readouterr().err
