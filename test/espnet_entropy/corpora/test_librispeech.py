"""LibriSpeech, from a miniature copy of its layout, whole and damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from miniatures import PARTS, librispeech, write_audio

from espnet_entropy.corpora import prepare_corpus
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.format_audio import format_audio, merge
from espnet_entropy.corpora.librispeech import find_root, lacking, set_name
from espnet_entropy.corpora.validate import inspect_data_dir
from espnet_entropy.utils.scp import read_scp


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return librispeech(tmp_path / "corpus", utts=3, seconds=0.3)


def prepare(corpus: Path, parts: str | None = None, **options: object) -> dict[str, DataDir]:
    out = corpus.parent / "data"
    prepare_corpus("librispeech", corpus, out, options | ({"parts": parts} if parts else {}))
    return {path.name: DataDir.read(path) for path in out.iterdir()}


def failed(corpus: Path, name: str) -> dict[str, str]:
    return read_scp(corpus.parent / "data" / name / "failed.txt")


def test_every_part_and_train_960(corpus: Path) -> None:
    sets = prepare(corpus)
    assert set(sets) == {"train_960", *map(set_name, PARTS)}
    for part, reader in PARTS.items():
        data = sets[set_name(part)]
        assert len(data.wavs) == 6
        assert set(data.utt2spk.values()) == {reader}
        assert inspect_data_dir(data.path, audio=True).problems == []
        assert inspect_data_dir(data.path).warnings == []
    assert len(sets["train_960"].wavs) == 18
    assert inspect_data_dir(sets["train_960"].path).problems == []
    assert sets["train_960"].speakers == {"spk2gender": {"103": "f", "1034": "m", "19": "f"}}
    assert sets["dev_clean"].texts[""]["84-121103-0001"] == "IT'S NUMBER B"
    path = corpus / "LibriSpeech/dev-clean/84/121103/84-121103-0001.flac"
    assert sets["dev_clean"].wavs["84-121103-0001"] == str(path)


def test_some_parts_and_either_folder(corpus: Path) -> None:
    out = corpus.parent / "data"
    options = {"parts": "dev-clean, test-clean,dev-clean"}
    prepare_corpus("librispeech", corpus / "LibriSpeech", out, options)
    assert sorted(path.name for path in out.iterdir()) == ["dev_clean", "test_clean"]
    assert find_root(corpus) == find_root(corpus / "LibriSpeech") == corpus / "LibriSpeech"
    assert find_root(corpus.parent / "none") == corpus.parent / "none" / "LibriSpeech"
    shutil.rmtree(corpus / "LibriSpeech/dev-other")
    for source in (corpus, corpus / "LibriSpeech"):  # an archive unpacks beside the others
        assert lacking(source) == {"librispeech": (corpus, ["dev-other"])}


def test_mini_librispeech(tmp_path: Path) -> None:
    corpus = librispeech(tmp_path / "c", {"train-clean-5": "19", "dev-clean-2": "84"}, seconds=0.3)
    sets = prepare(corpus, "train-clean-5,dev-clean-2")
    assert {name: len(data.wavs) for name, data in sets.items()} == {
        "train_clean_5": 6,
        "dev_clean_2": 6,
    }
    assert lacking(tmp_path / "new", "train-clean-5,dev-clean") == {
        "mini_librispeech": (tmp_path / "new", ["train-clean-5"]),
        "librispeech": (tmp_path / "new", ["dev-clean"]),
    }


def test_what_is_wrong_is_named_skipped_and_counted(
    corpus: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chapter = corpus / "LibriSpeech/dev-clean/84/121103"
    table = chapter / "84-121103.trans.txt"
    lines = table.read_text().splitlines()
    extra = "84-121103-0009 NO SUCH FILE"  # no audio
    table.write_text("\n".join([lines[0], "84-121103-0002", extra, ""]))  # 1: no line, 2: no text
    (chapter / "84-121103-0000.flac").write_bytes(b"")
    write_audio(chapter / "61-70968-0000.flac")  # of somebody else
    (chapter / "notes.doc").write_text("x")
    shutil.rmtree(corpus / "LibriSpeech/dev-other/1673/13")
    with pytest.raises(ValueError, match=r"5 of 8 utterances failed, more than the tolerated 5\.0"):
        prepare(corpus, "dev-clean")
    sets = prepare(corpus, "dev-clean,dev-other", max_failed=0.7)
    assert sorted(sets["dev_clean"].wavs) == [f"84-12-000{i}" for i in range(3)]
    found = failed(corpus, "dev_clean")
    reasons = {
        "61-70968-0000": "expected a name that begins with '84-121103-'",
        "84-121103-0000": "an empty file (0 bytes)",
        "84-121103-0001": "no text of it",
        "84-121103-0002": "no text of it",
        "84-121103-0009": "no such file",
    }
    assert set(found) == set(reasons)
    assert all(reasons[utt] in why for utt, why in found.items())
    assert "notes.doc: not part of the corpus; ignored" in caplog.text
    assert "dev-other: 1 chapter(s) missing: 13" in caplog.text
    assert len(sets["dev_other"].wavs) == 3


def test_a_chapter_without_transcripts(corpus: Path) -> None:
    (corpus / "LibriSpeech/dev-clean/84/12/84-12.trans.txt").unlink()
    sets = prepare(corpus, "dev-clean", max_failed=0.5)
    assert set(failed(corpus, "dev_clean")) == {f"84-12-000{i}" for i in range(3)}
    assert len(sets["dev_clean"].wavs) == 3


def test_damaged_audio_is_found_by_format(corpus: Path) -> None:
    path = corpus / "LibriSpeech/dev-clean/84/12/84-12-0001.flac"
    path.write_bytes(path.read_bytes()[:3000])
    data = prepare(corpus, "dev-clean")["dev_clean"]
    assert "84-12-0001" in data.wavs
    raw = corpus.parent / "raw"
    format_audio(data.path, raw)
    assert merge(data.path, raw, max_failed=0.2) == 5
    assert "84-12-0001.flac" in read_scp(raw / "failed.txt")["84-12-0001"]
    assert DataDir.read(raw).wavs == {u: w for u, w in data.wavs.items() if u != "84-12-0001"}


def test_readers_without_sex(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    (corpus / "LibriSpeech/SPEAKERS.TXT").unlink()
    assert prepare(corpus, "dev-clean")["dev_clean"].speakers == {}
    assert "no M or F of 1 reader(s): 84; no spk2gender" in caplog.text
    assert inspect_data_dir(corpus.parent / "data/dev_clean").problems == []


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ("dev-clear", "unknown part of LibriSpeech 'dev-clear'.*Did you mean 'dev-clean'"),
        (" , ", "parts: got ' , '; expected some of train-clean-100"),
        ("train-clean-5", r"LibriSpeech: lacks train-clean-5 .*LIBRISPEECH.*--download true"),
    ],
)
def test_bad_parts(corpus: Path, parts: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(corpus, parts)
