"""The real corpora, where they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from espnet_entropy.corpora import prepare_corpus
from espnet_entropy.corpora.alignment import read_alignments
from espnet_entropy.corpora.data_dir import DataDir
from espnet_entropy.corpora.validate import validate_data_dir

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data")


def prepared(corpus: str, folder: str, out: Path) -> dict[str, DataDir]:
    prepare_corpus(corpus, DATA / folder, out)
    for path in out.iterdir():
        assert validate_data_dir(path) == []
    return {path.name: DataDir.read(path) for path in out.iterdir()}


def test_speechocean762(tmp_path: Path) -> None:
    sets = prepared("speechocean762", "speechocean762", tmp_path)
    assert {name: len(data.wavs) for name, data in sets.items()} == {
        "train": 2300,
        "valid": 200,
        "test": 2000,
    }
    speakers = {name: set(data.utt2spk.values()) for name, data in sets.items()}
    assert not speakers["train"] & speakers["valid"]
    assert not (speakers["train"] | speakers["valid"]) & speakers["test"]
    ages = [int(age) for age in sets["valid"].speakers["spk2age"].values()]
    assert len(ages) == 10
    assert sum(age < 16 for age in ages) == 5


def test_mboshi(tmp_path: Path) -> None:
    sets = prepared("mboshi_french", "mboshi", tmp_path)
    counts = {name: len(data.wavs) for name, data in sets.items()}
    assert counts["train"] + counts["valid"] == 4616
    assert counts["dev"] == counts["dev_abiayi"] + counts["dev_kouarata"] + counts["dev_martial"]
    assert (counts["dev"], counts["valid"], counts["dev_martial"]) == (514, 178, 37)
    unseen = set(sets["dev_martial"].utt2spk.values()) | set(sets["valid"].utt2spk.values())
    assert not unseen & set(sets["train"].utt2spk.values())
    sentences = {name: set(data.texts[""].values()) for name, data in sets.items()}
    assert not sentences["dev_martial"] & (sentences["train"] | sentences["valid"])
    words = read_alignments(tmp_path / "dev")["words"]
    assert sum(map(len, words.values())) == 2993
    assert words["abiayi_2015-09-08-11-33-57_Dico18_102"][0].start == pytest.approx(0.756 - 0.065)


@pytest.mark.parametrize(
    ("corpus", "name", "utterances", "aligned"),
    [("ljspeech_mini", "lj", 32, 32), ("librivox_smoke", "librivox", 9, 5)],
)
def test_small_sets_decode(
    tmp_path: Path, corpus: str, name: str, utterances: int, aligned: int
) -> None:
    sets = prepared(corpus, corpus, tmp_path)
    assert len(sets[name].wavs) == utterances
    assert len(read_alignments(tmp_path / name)["phones"]) == aligned
    assert validate_data_dir(tmp_path / name, audio=True) == []
