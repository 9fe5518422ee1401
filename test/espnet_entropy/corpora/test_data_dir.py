"""Data directories written and read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_entropy.corpora.alignment import AlignmentInfo, Interval
from espnet_entropy.corpora.data_dir import DataDir, Segment, Utterance, write_data_dir
from espnet_entropy.utils import scp
from espnet_entropy.utils.scp import read_scp
from espnet_entropy.utils.table import Streamed

UTTS = [
    Utterance("b-2", "x/b-2.wav", "b", "wa  bia", {"fr": "il dit\tça"}, [Interval(0, 1, "wa")], []),
    Utterance("a-1", "x/a-1.wav", "a", "ώ sω", {"fr": "où"}),
    Utterance("b-1", "/abs/b 1.wav", "b", "", {"fr": "x"}),
]


def test_round_trip(tmp_path: Path) -> None:
    speakers = {"spk2gender": {"a": "f", "b": "m", "absent": "f"}}
    write_data_dir(tmp_path, UTTS, speakers, AlignmentInfo(-0.065, "s"))
    assert (tmp_path / "spk2utt").read_text() == "a a-1\nb b-1 b-2\n"
    assert (tmp_path / "text").read_text() == "a-1 ώ sω\nb-1\nb-2 wa bia\n"
    data = DataDir.read(tmp_path, base="/corpus")
    assert list(data.wavs.items()) == [
        ("a-1", "/corpus/x/a-1.wav"),
        ("b-1", "/abs/b 1.wav"),
        ("b-2", "/corpus/x/b-2.wav"),
    ]
    assert DataDir.read(tmp_path).wavs["a-1"] == "x/a-1.wav"
    assert data.texts["fr"] == {"a-1": "où", "b-1": "x", "b-2": "il dit ça"}
    assert data.speakers == {"spk2gender": {"a": "f", "b": "m"}}
    again = list(DataDir.read(tmp_path).utterances())
    assert again[0] == UTTS[1]
    assert again[2].words == [Interval(0, 1, "wa")]
    assert again[2].speaker == "b"


def test_writing_again_leaves_nothing_stale(tmp_path: Path) -> None:
    write_data_dir(tmp_path, UTTS, {"spk2age": {"a": "6"}}, AlignmentInfo())
    (tmp_path / "segments").write_text("old x 0 1\n")
    write_data_dir(tmp_path, [Utterance("a-1", "a.wav", "a")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["spk2utt", "utt2spk", "wav.scp"]


def test_result_does_not_depend_on_the_order(tmp_path: Path) -> None:
    write_data_dir(tmp_path / "1", UTTS)
    write_data_dir(tmp_path / "2", UTTS[::-1])
    for file in (tmp_path / "1").iterdir():
        assert file.read_bytes() == (tmp_path / "2" / file.name).read_bytes()


@pytest.mark.parametrize(
    ("utts", "message"),
    [
        ([], "no utterances to write"),
        ([Utterance("a", "a.wav", "a"), Utterance("a", "b.wav", "a")], "'a' occurs twice"),
        ([Utterance("a b", "a.wav", "a")], "expected one word"),
        ([Utterance("a", "a.wav", "")], "speaker ''; expected one word"),
        ([Utterance("a", "sox a.sph -t wav - |", "a")], "is a pipe; expected a path"),
        ([Utterance("a", " ", "a")], "no path"),
        ([Utterance("a", "a.wav", "a", "x"), Utterance("b", "b.wav", "b")], "have no 'text'.*: b"),
    ],
)
def test_unwritable_utterances(tmp_path: Path, utts: list[Utterance], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_data_dir(tmp_path / "out", utts)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a x\n\nb y\n", "line 2: blank"),
        (b"a x\na y\n", "line 2: 'a' occurs twice"),
        (b"a x\nb\n", "line 2: 'b' has no value"),
        (b"a caf\xe9\n", "not UTF-8"),
    ],
)
def test_malformed_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "wav.scp").write_bytes(content)
    with pytest.raises(ValueError, match=f"wav.scp.*{message}"):
        read_scp(tmp_path / "wav.scp")


def test_tabs_and_windows_line_ends(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes("a\tx  y\r\nb z\u2028w".encode())
    assert read_scp(tmp_path / "t") == {"a": "x  y", "b": "z\u2028w"}


def test_reading_what_does_not_agree(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such data directory"):
        DataDir.read(tmp_path / "absent")
    (tmp_path / "wav.scp").write_text("a x.wav\nb y.wav\n")
    (tmp_path / "utt2spk").write_text("a s\n")
    with pytest.raises(ValueError, match=r"1 utterance.* have no speaker in 'utt2spk': b"):
        DataDir.read(tmp_path)
    (tmp_path / "wav.scp").write_text("a touch /tmp/gotcha; cat x.wav |\n")
    with pytest.raises(ValueError, match="is a pipe"):
        DataDir.read(tmp_path)


def test_segments_are_cut_on_reading(tmp_path: Path) -> None:
    ramp = np.arange(32000, dtype=np.int16)
    soundfile.write(tmp_path / "r.flac", ramp, 16000)
    (tmp_path / "wav.scp").write_text("rec r.flac\n")
    (tmp_path / "segments").write_text("u2 rec 1.0 1.5\nu1 rec 0 0.5\n")
    (tmp_path / "utt2spk").write_text("u1 s\nu2 s\n")
    data = DataDir.read(tmp_path, base=tmp_path)
    assert list(data.wavs) == ["u1", "u2"]
    assert data.segments["u2"] == Segment("rec", 1.0, 1.5)
    np.testing.assert_array_equal(data.load_audio("u2") * 32768, ramp[16000:24000])
    with pytest.raises(ValueError, match="run stage 'format'"):
        list(data.utterances())
    (tmp_path / "segments").write_text("u1 other 0 0.5\n")
    with pytest.raises(ValueError, match=r"name a recording that 'wav.scp' lacks: u1"):
        DataDir.read(tmp_path)
    (tmp_path / "segments").write_text("u1 rec 0.5 0.5\n")
    with pytest.raises(ValueError, match="u1: expected '<recording> <start> <end>'"):
        DataDir.read(tmp_path)


@pytest.mark.parametrize(
    "files",
    [
        {"wav.scp": "a x.wav\nb y 1.wav\n", "utt2spk": "a s\nb t\n"},
        {"wav.scp": "b x.wav\na y.wav\n", "utt2spk": "a s\nb t\n"},
        {"wav.scp": "a x.wav\nb y.wav\n", "utt2spk": "0 s\na s\nb t\nc t\n", "text": "a\n"},
        {"wav.scp": "a x.wav\nb y.wav\n", "utt2spk": "a s\nc t\n"},
        {"wav.scp": "a x.wav\nb sox y |\n", "utt2spk": "a s\nb t\n"},
        {"wav.scp": "a |x\nb sox y|\u3000\n", "utt2spk": "a s\nb t\n"},
        {"wav.scp": "r x.wav\n", "utt2spk": "a s\nb t\n", "segments": "b r 1 2\na r 0 1\n"},
        {"wav.scp": "r x.wav\n", "utt2spk": "a s\nb t\n", "segments": "a r 1 2\nb r 2 1\n"},
        {"wav.scp": "r x.wav\n", "utt2spk": "a s\nb t\n", "segments": "a r 1 2\nb R 1 2\n"},
    ],
)
def test_a_large_directory_reads_as_a_small_one(tmp_path, monkeypatch, files) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    found = []
    for large in (1 << 20, 0):
        monkeypatch.setattr(scp, "LARGE", large)
        try:
            data = DataDir.read(tmp_path, base="/corpus")
        except ValueError as error:
            found.append(str(error))
            continue
        tables = [data.wavs, data.utt2spk, data.segments, *data.texts.values()]
        assert large or any(isinstance(table, Streamed) for table in tables)
        found.append([list(table.items()) for table in tables])
    assert found[0] == found[1]
