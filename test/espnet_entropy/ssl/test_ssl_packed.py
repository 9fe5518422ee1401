import numpy as np
import pytest
from sounds import babble
from toy_speech import toy_set
from wrong_inputs import write_data, write_wav

from espnet_entropy.ssl.pack import pack
from espnet_entropy.ssl.packed import DESCRIPTION, LEVELS, NO_PHONE, TABLES, PackedSet
from espnet_entropy.tokenizer.mel_levels import mel_levels


def test_what_is_saved_is_loaded(tmp_path):
    packed = toy_set(5, 0)
    packed.save(tmp_path)
    again = PackedSet.load(tmp_path)
    assert again.key == packed.key
    for name in ("levels", "units", "labels", "label_lengths", "aligned"):
        np.testing.assert_array_equal(getattr(again, name), getattr(packed, name))
    assert (again.utts, again.label_names) == (packed.utts, packed.label_names)
    assert toy_set(5, 1).key != packed.key


@pytest.mark.parametrize("name", [DESCRIPTION, LEVELS, TABLES])
def test_damaged_files_are_refused(tmp_path, name):
    toy_set(5, 0).save(tmp_path / "a")
    toy_set(5, 1).save(tmp_path / "b")
    content = (tmp_path / "a" / name).read_bytes()
    (tmp_path / "a" / name).write_bytes((tmp_path / "b" / name).read_bytes())
    with pytest.raises(ValueError, match="again"):
        PackedSet.load(tmp_path / "a")
    (tmp_path / "a" / name).write_bytes(content[: len(content) // 3])
    with pytest.raises(ValueError, match=str(tmp_path)):
        PackedSet.load(tmp_path / "a")
    (tmp_path / "a" / name).unlink()
    with pytest.raises(ValueError, match=str(tmp_path)):
        PackedSet.load(tmp_path / "a")


def test_directories_are_packed_together(tmp_path, monkeypatch):
    first = write_data(tmp_path / "one/data")
    (first / "text.phones").write_text("a AH0 B | K AH1\nb AH2\nc K |\n")
    wav = write_wav(tmp_path / "two/x.wav", babble(3, 0.6))
    second = write_data(
        tmp_path / "two/data", wav_scp="x x.wav\n", utt2spk="x s\n", spk2utt="s x\n"
    )
    (second / "ctm.phones").write_text("x 0.0 0.3 SIL\nx 0.3 0.3 m\n")
    places = [(first, "."), (second, wav.parent)]
    packed = pack(places, tmp_path / "packed")
    assert packed.key == PackedSet.load(tmp_path / "packed").key
    assert packed.utts == ["a", "b", "c", "x"]
    assert packed.label_names == ["AH", "B", "K"]
    assert packed.label_lengths.tolist() == [4, 1, 1, 0]
    assert packed.labels.tolist() == [0, 1, 2, 0, 0, 2]
    starts = np.cumsum(packed.units) - packed.units
    assert (packed.aligned[: starts[3]] == NO_PHONE).all()
    expected = (np.arange(packed.units[3]) * 0.02 + 0.0125 >= 0.3).astype(int)
    assert packed.aligned_names == ["SIL", "m"]
    np.testing.assert_array_equal(packed.aligned[starts[3] :], expected)
    decoded = np.round(babble(3, 0.6) * 32768).astype(np.float32) / 32768
    found = packed.levels[packed.frames[:3].sum() :].astype(int)
    assert np.abs(found - mel_levels(decoded)).max() <= 1
    with pytest.raises(ValueError, match="'a' is in two of the sets"):
        pack([places[0], places[0]], tmp_path / "twice")
    with pytest.raises(ValueError, match="phone 'B' does not occur in the train set"):
        pack(places[:1], tmp_path / "valid", ["AH", "K"], 0.1)
