import pytest

from espnet_entropy.corpora.alignment import AlignmentInfo, Interval
from espnet_entropy.corpora.combine import combine
from espnet_entropy.corpora.data_dir import DataDir, Utterance, write_data_dir
from espnet_entropy.corpora.validate import inspect_data_dir

PHONES = [Interval(0.0, 0.5, "SIL"), Interval(0.5, 1.0, "a")]


def labelled(path, speaker="s", text="hello"):
    utts = [
        Utterance(f"{speaker}-{i}", f"/x/{speaker}{i}.wav", speaker, text, {"phones": f"HH {i}"})
        for i in range(2)
    ]
    write_data_dir(path, utts, {"spk2age": {speaker: "9"}, "spk2gender": {speaker: "f"}})
    return path


def aligned(path, speaker="t", shift=0.0, text=None):
    utts = [Utterance(f"{speaker}-0", "../t.flac", speaker, text, phones=PHONES)]
    write_data_dir(
        path, utts, {"spk2gender": {speaker: "m"}}, AlignmentInfo(shift, f"by {speaker}")
    )
    return path


def test_each_utterance_keeps_what_it_has(tmp_path):
    combine([aligned(tmp_path / "b"), labelled(tmp_path / "a")], tmp_path / "all")
    problems = inspect_data_dir(tmp_path / "all").problems
    assert [line for line in problems if "audio" not in line] == []
    found = DataDir.read(tmp_path / "all")
    utts = {utt.utt: utt for utt in found.utterances()}
    assert list(utts) == ["s-0", "s-1", "t-0"]
    assert [utts[name].texts["phones"] for name in utts] == ["HH 0", "HH 1", ""]
    assert (utts["s-0"].phones, utts["t-0"].phones) == (None, PHONES)
    assert found.texts.keys() == {"phones"}
    assert found.speakers == {"spk2gender": {"s": "f", "t": "m"}}
    assert found.wavs["t-0"] == "../t.flac"
    assert "by t" in (tmp_path / "all/alignment.yaml").read_text()


def test_text_stays_where_all_have_it(tmp_path):
    combine([labelled(tmp_path / "a"), aligned(tmp_path / "b", text="you")], tmp_path / "all")
    found = DataDir.read(tmp_path / "all").texts[""]
    assert found == {"s-0": "hello", "s-1": "hello", "t-0": "you"}


def test_what_cannot_be_told_apart_is_refused(tmp_path):
    first = aligned(tmp_path / "a")
    with pytest.raises(ValueError, match=r"utterance 't-0' is in .*a and in .*b"):
        combine([first, aligned(tmp_path / "b")], tmp_path / "all")
    other = tmp_path / "c"
    write_data_dir(other, [Utterance("t-9", "x.wav", "t")])
    with pytest.raises(ValueError, match="speaker 't' is in"):
        combine([first, other], tmp_path / "all")
    with pytest.raises(ValueError, match=r"0.0 s in .*a, 0.2 s in .*d"):
        combine([first, aligned(tmp_path / "d", "u", shift=0.2)], tmp_path / "all")
    assert not (tmp_path / "all").exists()
