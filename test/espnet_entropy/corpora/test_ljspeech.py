"""LJSpeech, from a miniature copy of its layout, and the real clips where they are."""

from __future__ import annotations

from pathlib import Path

import pytest
import soundfile
from sounds import babble

from espnet_entropy.corpora import prepare_corpus
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.validate import inspect_data_dir

REAL = Path(__file__).parents[4] / "shared/data/ljspeech_mini"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Twenty clips of two chapters."""
    root = tmp_path / "LJSpeech-1.1"
    (root / "wavs").mkdir(parents=True)
    lines = []
    for i in range(20):
        clip = f"LJ00{1 + i // 10}-{i % 10 + 1:04}"
        soundfile.write(root / "wavs" / f"{clip}.wav", babble(i, 0.2), 22050)
        lines.append(f'{clip}|Dr. {i} said, "no|Doctor {"AB"[i % 2]} said, "no\n')
    (root / "metadata.csv").write_text("".join(lines))
    return root


def prepare(source: Path, out: Path, **options: object) -> dict[str, DataDir]:
    prepare_corpus("ljspeech", source, out, options)
    sets = {name: DataDir.read(out / name) for name in ("train", "valid", "test")}
    for data in sets.values():
        assert inspect_data_dir(data.path, audio=True).problems == []
    return sets


def test_sets(corpus: Path, tmp_path: Path) -> None:
    sets = prepare(corpus, tmp_path / "data", held_out=4)
    assert {name: len(data.wavs) for name, data in sets.items()} == {
        "train": 12,
        "valid": 4,
        "test": 4,
    }
    assert list(sets["test"].wavs) == [f"lj-LJ002-{i:04}" for i in range(7, 11)]
    assert sets["train"].texts[""]["lj-LJ001-0002"] == "DOCTOR B SAID NO"
    assert sets["train"].texts["raw"]["lj-LJ001-0002"] == 'Doctor B said, "no'
    assert set(sets["train"].utt2spk.values()) == {"lj"}
    with pytest.raises(ValueError, match=r"expected 1 to 9 of the 20 clips.*held_out=4"):
        prepare_corpus("ljspeech", corpus, tmp_path / "data")


def test_what_cannot_be_used_is_named(corpus: Path, tmp_path: Path) -> None:
    (corpus / "wavs/LJ001-0003.wav").unlink()
    with open(corpus / "metadata.csv", "a") as stream:
        stream.write("LJ001-0011|In 1450|In 1450\n")
    prepare(corpus, tmp_path / "data", held_out=4, max_failed=0.1)
    failed = (tmp_path / "data/failed.txt").read_text()
    assert "LJ001-0003" in failed
    assert "LJ001-0011 '0 1 4 5' in 'In 1450'" in failed


@pytest.mark.skipif(not REAL.is_dir(), reason="no ../shared/data")
def test_the_real_clips(tmp_path: Path) -> None:
    sets = prepare(REAL, tmp_path / "data", held_out=4)
    assert {name: len(data.wavs) for name, data in sets.items()} == {
        "train": 24,
        "valid": 4,
        "test": 4,
    }
