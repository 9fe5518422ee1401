"""Tables left on disk, against the dict that the same rules read."""

from __future__ import annotations

import gc
import os
import pickle

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from espnet_entropy.utils import scp, table_scan
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.scp import (
    Check,
    join_tables,
    read_num_samples,
    read_scp,
    read_table,
    same_keys,
)
from espnet_entropy.utils.table import Converted, Table

# what lines are made of: separators, white space of all kinds, NUL, bytes that are not UTF-8
ALPHABET = [
    "a",
    "b",
    "ab",
    "é",
    "\u2028",
    "\u3000",
    "\xa0",
    "あ",
    "𝄞",
    "|",
    ":",
    "7",
    "0",
    "x" * 63,
]
SPACES = [" ", " ", "\t", "  ", "\r", "\x0b", "\x1c", "\0", "\n"]
word = st.lists(st.sampled_from(ALPHABET), max_size=3).map("".join)
odd_line = st.lists(st.sampled_from(ALPHABET + SPACES), max_size=6).map("".join)
plain_line = st.tuples(word, word).map(" ".join)
line = st.one_of(plain_line, plain_line, odd_line).map(str.encode)
content = st.tuples(
    st.lists(st.one_of(line, line, line, st.just(b"a \xff")), max_size=12),
    st.booleans(),
    st.booleans(),
).map(lambda p: b"\n".join(sorted(p[0]) if p[1] else p[0]) + (b"\n" if p[2] else b""))


def outcome(read, path, *args):
    try:
        return list(read(path, *args).items())
    except ValueError as error:
        return str(error)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@settings(deadline=None, max_examples=150)
@example(b"a 1\nb\t2\n", False, 8, 4)
@example(b"a\0 1\na 2\na\0\0 3", False, 8, 4)
@example(b"a b c\na x\n", False, 64, 1)
@example(b"%b 1\n%b\nc 1\nb\n" % (b"x" * 31 + b"z", b"x" * 63), True, 1, 4)  # cut off in one piece
@given(content, st.booleans(), st.sampled_from([1, 8, 1 << 20]), st.sampled_from([1, 2, 64]))
def test_a_table_reads_what_a_dict_reads(folder, data, allow_empty, piece, stride):
    path = folder / "table"
    path.write_bytes(data)
    wanted = outcome(read_scp, path, allow_empty)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_scan, "PIECE", piece)
        patch.setattr(table_scan, "STRIDE", stride)
        assert outcome(Table, path, allow_empty) == wanted
        if isinstance(wanted, str):
            return
        table, dictionary = Table(path, allow_empty), dict(wanted)
        assert len(table) == len(dictionary)
        assert list(table) == list(dictionary)
        assert list(table.values()) == list(dictionary.values())
        if table.sorted:
            assert [table.key(line) for line in range(len(table))] == list(dictionary)
        assert table.sorted == (list(dictionary) == sorted(dictionary))
        for key in [*dictionary, "a b", "a", "", " ", "zz", "\0", "a\n", "x" * 63, "\udcff"]:
            assert table.get(key) == dictionary.get(key), key


@settings(deadline=None, max_examples=40)
@given(st.lists(word.filter(str.strip), min_size=1, unique=True), st.integers(0, 5), st.booleans())
def test_two_tables_have_the_same_keys_or_not(folder, keys, changed, in_order):
    keys = [key.strip() for key in keys]
    keys = list(dict.fromkeys(sorted(keys) if in_order else keys))
    others = list(keys)
    if changed < len(keys):
        others[changed] += "!"
    for name, names, value in (("one", keys, "1"), ("other", others, "\t2  ")):
        (folder / name).write_text("".join(f"{key} {value}\n" for key in names))
    one, other = Table(folder / "one"), Table(folder / "other")
    assert same_keys(one, other) == (keys == others)
    assert same_keys(one, dict.fromkeys(others)) == (keys == others)
    assert same_keys(one, Converted(one, lambda key, value: 0))


@settings(deadline=None, max_examples=40)
@given(st.sets(word.filter(str.strip)), st.sets(word.filter(str.strip)), st.booleans())
def test_tables_are_joined_as_dicts_are(folder, keys, others, in_order):
    for name, names in (("one", keys), ("other", others)):
        lines = [f"{key.strip()} {name}\n" for key in names if len(key.split()) == 1]
        (folder / name).write_text(
            "".join(sorted(set(lines)) if in_order else sorted(set(lines))[::-1])
        )
    one, other = read_scp(folder / "one"), read_scp(folder / "other")
    wanted = [(key, value, other.get(key)) for key, value in one.items()]
    tables = Table(folder / "one"), Table(folder / "other")
    assert list(join_tables(*tables)) == list(join_tables(one, other)) == wanted
    assert list(join_tables(tables[0], other)) == wanted


def test_bytes_that_begin_no_white_space_are_all_known():
    white = {chr(c).encode()[0] for c in range(0x110000) if chr(c).isspace()}
    assert not table_scan.SOLID[list(white)].any()
    # but for NUL and a few lead bytes that some white space shares, all others
    begin = {chr(c).encode()[0] for c in range(0x110000) if not 0xD800 <= c < 0xE000}
    assert set(np.flatnonzero(table_scan.SOLID).tolist()) == begin - white - {0, 0xC2}


@settings(deadline=None, max_examples=60)
@given(st.lists(odd_line.filter(str.strip), min_size=1, max_size=9), st.sampled_from([1, 1 << 20]))
def test_a_check_accepts_the_same_either_way(folder, values, piece):
    values = [" ".join(value.split()) for value in values]
    path = folder / "utt2num_samples"
    path.write_text("".join(f"{i:03} {value}\n" for i, value in enumerate(values)))
    wanted = outcome(read_num_samples, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scp, "LARGE", 0)
        patch.setattr(table_scan, "PIECE", piece)
        assert outcome(read_num_samples, folder) == wanted


@pytest.mark.parametrize("number", ["0", "7", "1" * 19, "1" * 20, "1" * 21, "1" * 40])
def test_numbers_of_any_length(tmp_path, monkeypatch, number):
    monkeypatch.setattr(scp, "LARGE", 0)
    (tmp_path / "utt2num_samples").write_text(f"a {number}\n")
    table = read_num_samples(tmp_path)
    assert isinstance(table, Converted)
    assert table["a"] == int(number)


def test_the_first_refused_value_is_named_after_all_defects(tmp_path):
    def slow(key, value):
        if "|" in value:
            raise ValueError(f"{key}: pipe")

    for fast in (None, lambda values: values.text[values.last] != ord("|")):
        (tmp_path / "t").write_text("a x\nb y|\nc z|\n")
        with pytest.raises(ValueError, match="b: pipe"):
            Table(tmp_path / "t", check=Check(slow, fast))
        (tmp_path / "t").write_text("a x\nb y|\nc z\nc z\n")
        with pytest.raises(ValueError, match="line 4: 'c' occurs twice"):
            Table(tmp_path / "t", check=Check(slow, fast))


def write(path, value, count=500):
    with atomic_write(path) as stream:
        stream.writelines(f"{i:04} {value}{i}\n" for i in range(count))


def test_only_a_large_file_stays_on_disk(tmp_path, monkeypatch):
    write(tmp_path / "t", "v")
    assert type(read_table(tmp_path / "t")) is dict
    monkeypatch.setattr(scp, "LARGE", 4000)
    table = read_table(tmp_path / "t")
    assert type(table) is Table
    assert table == read_scp(tmp_path / "t")
    with pytest.raises(ValueError, match="cannot be read"):
        read_table(tmp_path / "none")


def test_a_file_that_is_replaced_is_read_as_it_was(tmp_path):
    write(tmp_path / "t", "old")
    table = Table(tmp_path / "t")
    write(tmp_path / "t", "new")
    assert table["0123"] == "old123"
    assert next(iter(table.values())) == "old0"
    assert pickle.loads(pickle.dumps(table))["0123"] == "new123"


def test_a_file_that_is_shortened_is_an_error(tmp_path):
    write(tmp_path / "t", "v")
    table = Table(tmp_path / "t")
    os.truncate(tmp_path / "t", 100)
    with pytest.raises(ValueError, match="became shorter while it was read"):
        table["0400"]


def test_descriptors_are_closed(tmp_path):
    write(tmp_path / "t", "v")
    gc.collect()  # what other tests left
    before = len(os.listdir("/proc/self/fd"))
    tables = [Table(tmp_path / "t") for _ in range(5)]
    assert len(os.listdir("/proc/self/fd")) == before + 5
    tables.clear()
    assert len(os.listdir("/proc/self/fd")) == before
