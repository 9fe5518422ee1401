import pytest

from espnet_entropy.utils.files import safe_name
from espnet_entropy.utils.scp import read_num_samples, write_part


def test_numbers_of_samples(tmp_path):
    (tmp_path / "utt2num_samples").write_text("b 320\na\t400\n")
    assert read_num_samples(tmp_path) == {"b": 320, "a": 400}


@pytest.mark.parametrize("value", ["-3", "1.5", "x", "²", "3 4"])
def test_other_numbers_are_named(tmp_path, value):
    (tmp_path / "utt2num_samples").write_text(f"a 1\nb {value}\n")
    with pytest.raises(ValueError, match=rf"utt2num_samples: b: expected a number.*got '{value}'"):
        read_num_samples(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match="utt2num_samples: no such file"):
        read_num_samples(tmp_path)


def test_file_names_stay_in_their_directory_and_differ(tmp_path):
    keys = ["../../../x", "a/b", "a%2Fb", "a%b", "..", "a b"]
    names = [safe_name(key) + ".png" for key in keys]
    assert len(set(names)) == len(keys)
    assert all((tmp_path / name).resolve().parent == tmp_path.resolve() for name in names)


def test_a_part_of_a_table_is_written_whole_or_not_at_all(tmp_path):
    write_part(tmp_path / "t", {"b": 1, "a": 2}, {"a": "x", "b": "y", "c": "z"})
    assert (tmp_path / "t").read_text() == "a x\nb y\n"
    with pytest.raises(ValueError, match="nothing is known of 'd'"):
        write_part(tmp_path / "u", {"a": 1, "d": 2}, {"a": "x"})
    assert not (tmp_path / "u").exists()
