"""The corpora, from miniature copies of their layouts, and the registry in front of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_entropy.bin import prepare_corpus as command
from espnet_entropy.corpora import CORPORA, prepare_corpus
from espnet_entropy.corpora.alignment import Interval, read_alignments
from espnet_entropy.corpora.data_dir import DataDir, Utterance, write_data_dir
from espnet_entropy.corpora.validate import inspect_data_dir
from espnet_entropy.utils.scp import write_scp


def write_wav(path: Path, form: str = "WAV") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(8000, 0.1), 16000, format=form)


def speechocean(root: Path, official: bool) -> Path:
    """Eight train and two test speakers of two utterances, half of them children."""
    phones = []
    for split, speakers in (("train", range(1, 9)), ("test", range(9, 11))):
        utts, ages, genders = [], {}, {}
        for number in speakers:
            speaker = f"{number:04}"
            ages[speaker] = str(6 if number % 2 else 30)
            genders[speaker] = "mf"[number // 2 % 2]
            for i in range(2):
                utt = f"{number:05}{i:04}"
                wav = f"audio/{split}/{utt}.flac"
                if official:
                    wav = f"WAVE/SPEAKER{speaker}/{utt}.WAV"
                write_wav(root / wav, "WAV" if official else "FLAC")
                texts = {} if official else {"phones": "W IY0 | R AH0 N"}
                utts.append(Utterance(utt, wav, speaker, "WE RUN", texts))
                phones += [f"{utt}.0\tW_B IY0_E\n", f"{utt}.1\tR_B AH0_I N_E\n"]
        write_data_dir(root / split, utts, {"spk2age": ages, "spk2gender": genders})
    if official:
        (root / "resource").mkdir()
        (root / "resource" / "text-phone").write_text("".join(phones))
        for split in ("train", "test"):  # tabs, as upstream
            for file in (root / split).iterdir():
                file.write_text(file.read_text().replace(" ", "\t", 1))
    return root


@pytest.mark.parametrize("official", [True, False])
def test_speechocean762(tmp_path: Path, official: bool) -> None:
    source = speechocean(tmp_path / "corpus", official)
    prepare_corpus("speechocean762", source, tmp_path / "data", {"valid_share": 0.5})
    sets = {name: DataDir.read(tmp_path / "data" / name) for name in ("train", "valid", "test")}
    assert [len(data.wavs) for data in sets.values()] == [8, 8, 4]
    speakers = [set(data.utt2spk.values()) for data in sets.values()]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) == 10
    assert sorted(sets["valid"].speakers["spk2age"].values()) == ["30", "30", "6", "6"]
    assert sorted(sets["valid"].speakers["spk2gender"].values()) == ["f", "f", "m", "m"]
    for name, data in sets.items():
        assert set(data.texts["phones"].values()) == {"W IY0 | R AH0 N"}
        assert set(data.texts[""].values()) == {"WE RUN"}
        report = inspect_data_dir(tmp_path / "data" / name, audio=True)
        assert report.problems == report.warnings == []


def test_both_layouts_of_speechocean762_hold_out_the_same_speakers(tmp_path: Path) -> None:
    for name, official in (("one", True), ("two", False)):
        prepare_corpus("speechocean762", speechocean(tmp_path / name, official), tmp_path / name)
    for name in ("train", "valid", "test"):
        one, two = (tmp_path / corpus / name / "utt2spk" for corpus in ("one", "two"))
        assert one.read_text().replace("\t", " ") == two.read_text()


def test_speechocean762_without_ages(tmp_path: Path) -> None:
    source = speechocean(tmp_path / "corpus", True)
    write_scp(source / "train" / "spk2age", {"0001": 6})
    with pytest.raises(ValueError, match=r"spk2age: lacks 7 speaker\(s\): 0002"):
        prepare_corpus("speechocean762", source, tmp_path / "data")


@pytest.fixture
def mboshi(tmp_path: Path) -> Path:
    root = tmp_path / "mboshi"
    for split, count in (("train", 4), ("dev", 2)):
        utts = []
        for speaker in ("abiayi", "kouarata", "martial"):
            for i in range(count):
                wav = f"audio/{split}/{speaker}_{split}{i}.flac"
                write_wav(root / wav, "FLAC")
                words = [Interval(0.116, 0.4, "wá")]
                texts = {"fr": "il dit", "fr.raw": "Il dit."}
                utts.append(
                    Utterance(f"{speaker}_{split}{i}", wav, speaker, "wá", texts, words, words)
                )
        write_data_dir(root / split, utts)
    return root


def test_mboshi(mboshi: Path, tmp_path: Path) -> None:
    prepare_corpus("mboshi_french", mboshi, tmp_path / "data")
    found = {path.name: DataDir.read(path) for path in (tmp_path / "data").iterdir()}
    assert {name: len(data.wavs) for name, data in found.items()} == {
        "train": 8,
        "valid": 4,
        "dev": 6,
        "dev_abiayi": 2,
        "dev_kouarata": 2,
        "dev_martial": 2,
    }
    assert set(found["train"].utt2spk.values()) == {"abiayi", "kouarata"}
    assert set(found["valid"].utt2spk.values()) == {"martial"}
    assert set(found["train"].texts) == {"", "fr", "fr.raw"}
    shifted = read_alignments(tmp_path / "data" / "dev")["words"]["martial_dev0"]
    assert shifted == [Interval(0.051, 0.335, "wá")]
    for path in (tmp_path / "data").iterdir():
        assert inspect_data_dir(path, audio=True).problems == []


def test_mboshi_with_three_disjoint_speakers(mboshi: Path, tmp_path: Path) -> None:
    options = {"valid_speaker": "kouarata", "test_speaker": "martial", "alignment_shift": 0.1}
    prepare_corpus("mboshi_french", mboshi, tmp_path / "data", options)
    for name, speaker in (("train", "abiayi"), ("valid", "kouarata"), ("test_martial", "martial")):
        assert set(DataDir.read(tmp_path / "data" / name).utt2spk.values()) == {speaker}
    assert len(DataDir.read(tmp_path / "data" / "test_martial").wavs) == 6


def test_small_sets_pass_through(tmp_path: Path) -> None:
    sets = (("ljspeech_mini", "lj", "lj"), ("librivox_smoke", "all", "librivox"))
    for corpus, given, name in sets:
        source = tmp_path / corpus
        write_wav(source / "audio" / "lj-1.flac", "FLAC")
        words = [Interval(0.0, 0.4, "word")]
        utt = Utterance("lj-1", "audio/lj-1.flac", "lj", "WORD", {"raw": "Word."}, words, words)
        write_data_dir(source / given, [utt], {"spk2gender": {"lj": "f"}})
        prepare_corpus(corpus, source, tmp_path / "data")
        assert inspect_data_dir(tmp_path / "data" / name, audio=True).problems == []
        data = DataDir.read(tmp_path / "data" / name)
        assert data.texts["raw"] == {"lj-1": "Word."}
        assert read_alignments(data.path)["phones"] == {"lj-1": words}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("speechocean", {}, "unknown corpus 'speechocean'.*Did you mean 'speechocean762'"),
        ("mboshi_french", {"speaker": "x"}, "mboshi_french: unknown key 'speaker'; known: valid_"),
        ("mboshi_french", {"valid_speaker": "marcial"}, "Did you mean 'martial'"),
        ("mboshi_french", {"test_speaker": "martial"}, "unknown test_speaker 'martial'"),
        ("mboshi_french", {"alignment_shift": "late"}, "alignment_shift: expected a number"),
        ("speechocean762", {}, "no such file|cannot be read|no such data directory"),
    ],
)
def test_bad_requests(
    mboshi: Path, tmp_path: Path, name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare_corpus(name, mboshi, tmp_path / "data", options)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent: no such folder.*db\.local\.sh"):
        prepare_corpus("ljspeech_mini", tmp_path / "absent", tmp_path)
    with pytest.raises(ValueError, match="--source is missing"):
        prepare_corpus("ljspeech_mini", None, tmp_path)


def test_command(mboshi: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "data")]
    options = ["--option", "valid_speaker=abiayi", "--option", "alignment_shift=0"]
    command.main(["--corpus", "mboshi_french", "--source", str(mboshi), *out, *options])
    assert set(DataDir.read(tmp_path / "data" / "valid").utt2spk.values()) == {"abiayi"}
    with pytest.raises(ValueError, match="expected KEY=VALUE"):
        command.main(["--corpus", "mboshi_french", *out, "--option", "alignment_shift"])


def test_nj_goes_to_the_corpora_that_take_it(tmp_path: Path, monkeypatch) -> None:
    calls: list[dict[str, object]] = []

    def parallel(source: Path | None, out: Path, nj: int = 2) -> None:
        calls.append({"nj": nj})

    def alone(source: Path | None, out: Path, seed: int = 0) -> None:
        calls.append({"seed": seed})

    monkeypatch.setattr("espnet_entropy.corpora.get_corpus", {"p": parallel, "a": alone}.get)
    for words in ("p", "p --nj 5", "p --nj 5 --option nj=3", "a --nj 5"):
        command.main(["--out", str(tmp_path), "--corpus", *words.split()])
    assert calls == [{"nj": 2}, {"nj": 5}, {"nj": 3}, {"seed": 0}]


def test_registry_names_functions() -> None:
    assert set(CORPORA) >= {"mini_synth", "speechocean762", "mboshi_french", "ljspeech_mini"}
    assert all(value.count(":") == 1 for value in CORPORA.values())
