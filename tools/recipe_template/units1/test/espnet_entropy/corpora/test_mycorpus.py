"""mycorpus, from a miniature copy of its layout."""

from __future__ import annotations

from pathlib import Path

import pytest
from miniatures import write_audio

from espnet_entropy.corpora import prepare_corpus
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.validate import inspect_data_dir


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Five speakers of four utterances. TODO: as the corpus really lies on disk."""
    root = tmp_path / "corpus"
    lines = ["utterance\tspeaker\ttext"]
    for speaker in "abcde":
        for i in range(4):
            name = f"{speaker}{i}"
            write_audio(root / "audio" / speaker / f"{name}.flac", seed=i, seconds=0.2)
            lines.append(f"{name}\t{speaker}\tIT'S NUMBER {i}")
    (root / "metadata.tsv").write_text("\n".join(lines) + "\n")
    return root


def test_sets(corpus: Path, tmp_path: Path) -> None:
    prepare_corpus("mycorpus", corpus, tmp_path / "data")
    sets = {name: DataDir.read(tmp_path / "data" / name) for name in ("train", "valid", "test")}
    assert {name: len(data.wavs) for name, data in sets.items()} == {
        "train": 12,
        "valid": 4,
        "test": 4,
    }
    assert len({speaker for data in sets.values() for speaker in data.utt2spk.values()}) == 5
    assert sum(len(set(data.utt2spk.values())) for data in sets.values()) == 5  # in one set each
    for data in sets.values():
        assert inspect_data_dir(data.path, audio=True).problems == []
        assert all(data.texts[""][utt] == f"IT'S NUMBER {utt[-1]}" for utt in data.wavs)


def test_an_utterance_without_audio_is_named(corpus: Path, tmp_path: Path) -> None:
    (corpus / "audio/c/c2.flac").unlink()
    prepare_corpus("mycorpus", corpus, tmp_path / "data")
    assert (tmp_path / "data/failed.txt").read_text().startswith("c2 ")
    with pytest.raises(ValueError, match="1 of 20 utterances failed"):
        prepare_corpus("mycorpus", corpus, tmp_path / "data", {"max_failed": 0.0})
