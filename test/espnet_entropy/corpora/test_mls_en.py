"""MLS English, from miniature copies of its two layouts, whole and damaged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from miniatures import librispeech, mls

from espnet_entropy.corpora import mls_en, prepare_corpus
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.large_dir import Row, sorted_on_disk, write_large_data_dir
from espnet_entropy.corpora.validate import inspect_data_dir
from espnet_entropy.utils.scp import read_scp


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return mls(tmp_path / "mls")


def prepare(corpus: Path, **options: object) -> dict[str, DataDir]:
    out = corpus.parent / "data"
    prepare_corpus("mls_en", corpus, out, {"hours": None, **options})
    sets = {path.name: DataDir.read(path) for path in out.iterdir()}
    assert set(sets) == {"train", "dev", "test"}
    for path in out.iterdir():
        assert inspect_data_dir(path, audio=True).problems == []
    return sets


@pytest.mark.parametrize("form", ["flac", "opus"])
def test_all_of_it(tmp_path: Path, form: str) -> None:
    sets = prepare(mls(tmp_path / "mls", form))
    assert {name: len(data.wavs) for name, data in sets.items()} == {
        "train": 12,
        "dev": 3,
        "test": 3,
    }
    train = sets["train"]
    assert list(train.wavs)[:2] == ["4800_10003_000000", "4800_10003_000001"]
    assert train.texts[""]["480_12959_000002"] == "THE WHEEL CHAIR'S C"
    assert train.utt2spk["480_12959_000002"] == "480"
    assert train.speakers == {"spk2gender": {"480": "m", "4800": "f", "84": "f"}}
    assert train.wavs["84_77_000000"].endswith(f"/train/audio/84/77/84_77_000000.{form}")
    assert not list(train.path.glob(".*"))


def test_text_as_published(corpus: Path) -> None:
    assert prepare(corpus, text="published")["dev"].texts[""]["1982_1551_000000"] == (
        "the wheel-chair's a"
    )


def test_either_folder(tmp_path: Path) -> None:
    mls(tmp_path / "mls", "opus")
    assert mls_en.find_root(tmp_path / "mls/mls_english_opus") is not None
    mls(tmp_path / "mls", "flac")
    both = tmp_path / "mls"
    assert mls_en.find_root(both) == both / "mls_english"
    assert mls_en.find_root(both, "opus") == both / "mls_english_opus"
    assert mls_en.lacking(both) == mls_en.lacking(both / "mls_english_opus") == {}
    assert mls_en.lacking(tmp_path / "new") == {"mls_en": (tmp_path / "new", ["opus"])}


def test_hours(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    """15 s each: 4 are a minute. Three speakers give before one gives twice."""
    caplog.set_level("INFO")
    hours = 6 * 15 / 3600
    one = prepare(corpus, hours=hours)
    assert "6 of 12 utterances, 0.03 of 0.05 h, 3 speakers" in caplog.text
    counts = sorted(list(one["train"].utt2spk.values()).count(s) for s in ("480", "4800", "84"))
    assert counts == [2, 2, 2]
    assert len(one["dev"].wavs) == len(one["test"].wavs) == 3
    other = prepare(corpus, hours=hours, seed=1)
    assert set(other["train"].wavs) != set(one["train"].wavs)
    more = prepare(corpus, hours=9 * 15 / 3600)
    assert set(one["train"].wavs) < set(more["train"].wavs)
    with pytest.raises(ValueError, match=r"at most the 0\.05 h that there are, got 20000"):
        prepare_corpus("mls_en", corpus, corpus.parent / "data")  # the paper's hours


def test_librispeech_test_readers_stay_out_of_train(corpus: Path, tmp_path: Path) -> None:
    libri = librispeech(tmp_path / "libri", {"dev-clean": "84"}, seconds=0.1)
    for hours in (None, 9 * 15 / 3600):
        train = prepare(corpus, librispeech=str(libri), hours=hours)["train"]
        assert set(train.utt2spk.values()) == {"480", "4800"}
    with pytest.raises(ValueError, match=r"SPEAKERS\.TXT: names no reader of dev or test"):
        prepare(corpus, librispeech=str(tmp_path))


@pytest.mark.parametrize("hours", [None, 8 * 15 / 3600])
def test_what_is_wrong_is_named_skipped_and_counted(
    corpus: Path, hours: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    train = corpus / "mls_english/train"
    books = train / "audio"
    (books / "84/77/84_77_000000.flac").unlink()
    (books / "84/77/84_77_000009.flac").write_bytes(b"")  # no transcript
    (books / "84/77/84_77_000010.flac").write_bytes(b"")
    lines = (train / "transcripts.txt").read_text().splitlines()
    lines[lines.index("84_77_000001\tthe wheel-chair's b")] = "84_77_000001\tchapter 3"
    lines += ["nonsense", "1_2\tx"]
    random.Random(0).shuffle(lines)  # not book by book
    (train / "transcripts.txt").write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"4 of \d+ utterances failed, more than the tolerated"):
        prepare(corpus, hours=hours)
    assert not (corpus.parent / "data/train/wav.scp").exists()
    sets = prepare(corpus, max_failed=0.5, hours=hours)
    assert len(sets["train"].wavs) == (10 if hours is None else 6)
    found = read_scp(sets["train"].path / "failed.txt")
    assert set(found) == {"84_77_000000", "84_77_000001", "nonsense", "1_2"}
    assert "no such file" in found["84_77_000000"]
    assert "'3' in 'chapter 3'" in found["84_77_000001"]
    assert "line" in found["1_2"]
    assert "1 audio file(s) without transcript, in 84/77" in caplog.text


def test_lines_that_are_in_one_file_only(corpus: Path, caplog: pytest.LogCaptureFixture) -> None:
    dev = corpus / "mls_english/train"
    segments = (dev / "segments.txt").read_text().splitlines()
    texts = (dev / "transcripts.txt").read_text().splitlines()
    (dev / "segments.txt").write_text("\n".join([*segments[1:], "84_77_000002 no tabs"]) + "\n")
    (dev / "transcripts.txt").write_text("\n".join(texts[:-1]) + "\n")
    total = 11 * 15 / 3600
    sets = prepare(corpus, hours=total, max_failed=0.2)
    assert set(read_scp(sets["train"].path / "failed.txt")) == {"84_77_000001"}
    assert "1 line(s) are not '<id> <address> <start> <end>' (separated by tabs): 12" in caplog.text
    assert 10 <= len(sets["train"].wavs) <= 11  # without a length: its draw decides


def test_the_wrong_folder_is_noticed_early(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mls_en, "_HOPELESS", 3)
    for path in (corpus / "mls_english/train/audio").rglob("*.flac"):
        path.unlink()
    with pytest.raises(ValueError, match="4 of 4 utterances failed"):
        prepare(corpus)


def test_not_the_corpus(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"lacks mls_english with train.*MLS_EN.*--download true"):
        prepare_corpus("mls_en", tmp_path, tmp_path / "data")
    with pytest.raises(ValueError, match="unknown text 'lower'"):
        prepare_corpus("mls_en", tmp_path, tmp_path / "data", {"text": "lower"})


def rows(count: int, seed: int = 0) -> list[Row]:
    made = [
        Row(f"s{i % 7}-{i:04}", f"s{i % 7}", f"/a b/{i}.flac", f"TEXT {i}") for i in range(count)
    ]
    random.Random(seed).shuffle(made)
    return made


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_sorting_on_disk(tmp_path: Path, chunk: int) -> None:
    assert list(sorted_on_disk(rows(100), tmp_path, chunk)) == sorted(rows(100))


def test_large_directories_are_data_directories(tmp_path: Path) -> None:
    write_large_data_dir(tmp_path / "d", rows(50), lambda s: {"spk2x": dict.fromkeys(s, "1")}, 8)
    (tmp_path / "d/segments").write_text("stale")
    assert write_large_data_dir(tmp_path / "d", rows(100), lambda s: {}, 30) == 100
    assert sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        "spk2utt",
        "text",
        "utt2spk",
        "wav.scp",
    ]
    data = DataDir.read(tmp_path / "d")
    assert [(u, data.utt2spk[u], w, data.texts[""][u]) for u, w in data.wavs.items()] == sorted(
        map(tuple, rows(100))
    )
    assert read_scp(tmp_path / "d/spk2utt")["s3"].split()[:2] == ["s3-0003", "s3-0010"]
    with pytest.raises(ValueError, match="'s0-0000' occurs twice"):
        write_large_data_dir(tmp_path / "e", rows(9) + rows(9), lambda s: {}, 4)
    with pytest.raises(ValueError, match="no utterances"):
        write_large_data_dir(tmp_path / "e", [], lambda s: {})
    assert list((tmp_path / "e").iterdir()) == []
