"""Audio files and a table of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from espnet_entropy.corpora.plain_layout import find_audio, read_rows

COLUMNS = ("utterance", "text")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_audio_anywhere_below(tmp_path: Path) -> None:
    touch(tmp_path, "b.wav", "a/x y/c.FLAC", "a/d.e.opus", "a/c.txt", "a/._c.flac", "list.tsv")
    assert find_audio(tmp_path) == {
        "b": tmp_path / "b.wav",
        "c": tmp_path / "a/x y/c.FLAC",
        "d.e": tmp_path / "a/d.e.opus",
    }
    touch(tmp_path, "z/b.mp3")
    with pytest.raises(ValueError, match=r"b\.wav and .*z/b\.mp3 have the same name 'b'"):
        find_audio(tmp_path)
    with pytest.raises(ValueError, match="no audio file"):
        find_audio(tmp_path / "none")


def table(tmp_path: Path, content: str, **options: object) -> list[dict[str, str]]:
    (tmp_path / "t").write_bytes(content.encode())
    return list(read_rows(tmp_path / "t", **{"columns": COLUMNS, **options}))  # type: ignore[arg-type]


def test_tables(tmp_path: Path) -> None:
    rows = [{"utterance": "a", "text": 'she said "no', "set": ""}, {"utterance": "b", "text": "é"}]
    rows[1]["set"] = "test"
    content = 'utterance\ttext\tset\na\tshe said "no\t\r\n\nb\t é \ttest'
    assert table(tmp_path, content) == rows
    assert table(tmp_path, "\ufeff" + content) == rows  # a mark that some editors write
    assert table(
        tmp_path, "a|x|y\n", columns=("id", "raw", "text"), delimiter="|", heading=False
    ) == [{"id": "a", "raw": "x", "text": "y"}]
    quoted = table(tmp_path, 'text,utterance\n"one, ""two""",a\n', delimiter=",")
    assert quoted == [{"utterance": "a", "text": 'one, "two"'}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "Utterance\ttext\n",
            r"t: its first line lacks the column 'utterance'; .*Did you mean 'Ut",
        ),
        ("utterance\ttext\n\na\tb\tc\n", r"t, line 3: 3 value\(s\); expected 2: utterance, text"),
        ("utterance,text\na,b\n", "lacks the column 'utterance'"),
    ],
)
def test_bad_tables(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        table(tmp_path, content)


def test_unreadable_tables(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"cannot be read \(No such file.*utterance, text"):
        list(read_rows(tmp_path / "none", COLUMNS))
    (tmp_path / "t").write_bytes(b"utterance\ttext\na\t\xff\n")
    with pytest.raises(ValueError, match=r"cannot be read .*UTF-8 table"):
        list(read_rows(tmp_path / "t", COLUMNS))
