"""Archives: what kaldiio writes is read, and nothing in a file or a path is ever run."""

import io
import os
import pickle
import struct
import wave
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet_entropy.utils import ark
from espnet_entropy.utils.ark import Arrays, read_entries


def write(directory, arrays):
    """An archive and its scp, by kaldiio."""
    with kaldiio.WriteHelper(f"ark,scp:{directory}/a.ark,{directory}/a.scp") as writer:
        for key, array in arrays.items():
            writer(key, array)
    return directory / "a.scp"


def place(directory, content):
    """An scp whose entry ``u`` points at ``content``."""
    (directory / "b.ark").write_bytes(b"u " + content)
    (directory / "b.scp").write_text(f"u {directory}/b.ark:2\n")
    return directory / "b.scp"


def test_what_kaldiio_writes_is_read(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        "units": rng.integers(-(2**31), 2**31, 57).astype(np.int32),
        "none": np.zeros(0, np.int32),
        "matrix": rng.normal(size=(31, 2)).astype(np.float32),
        "empty": np.zeros((0, 2), np.float32),
        "double": rng.normal(size=(3, 4)),
    }
    read = Arrays.load(write(tmp_path, arrays))
    assert list(read) == list(arrays)
    for key in reversed(arrays):
        assert read[key].dtype == arrays[key].dtype
        np.testing.assert_array_equal(read[key], arrays[key], strict=True)


def test_few_archives_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(ark, "OPEN_FILES", 2)
    entries = {}
    for i in range(5):
        (tmp_path / str(i)).mkdir()
        scp = write(tmp_path / str(i), {"u": np.full(3, i, np.int32)})
        entries[str(i)] = read_entries(scp)["u"]
    before = len(os.listdir("/proc/self/fd"))
    read = Arrays(entries, "x.scp")
    for key in ("0", "1", "2", "3", "4", "0", "4", "3"):
        assert read[key].tolist() == [int(key)] * 3
    assert len(os.listdir("/proc/self/fd")) == before + 2
    (tmp_path / "4" / "a.ark").unlink()
    assert read["4"].tolist() == [4] * 3  # read later than 0, though opened earlier
    del read
    assert len(os.listdir("/proc/self/fd")) == before


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def as_npy(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def as_wav():
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", "none"))
        file.writeframes(bytes(100))
    return stream.getvalue()


def compressed():
    stream = io.BytesIO()
    kaldiio.matio.write_array(stream, np.ones((5, 2), np.float32), compression_method=2)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        lambda bomb: b"PKL" + pickle.dumps(bomb),
        lambda bomb: pickle.dumps(bomb),
        lambda bomb: b"NPY" + as_npy(np.array([bomb], object), allow_pickle=True),
        lambda bomb: as_npy(np.ones(3)),
        lambda bomb: b"AUDIO" + as_wav(),
        lambda bomb: as_wav(),
        lambda bomb: b" [ 1 2 3 ]\n",
        lambda bomb: compressed(),
        lambda bomb: b"\0BFV \4" + struct.pack("<if", 1, 1.0),
        lambda bomb: b"\0BFM \4" + struct.pack("<i", -1) + b"\4" + struct.pack("<i", 2),
        lambda bomb: b"",
    ],
)  # fmt: skip
def test_other_content_is_named_and_not_run(tmp_path, content):
    scp = place(tmp_path, content(Bomb(tmp_path / "ran")))
    with pytest.raises(ValueError, match=rf"{scp}: u: .*b\.ark:2: holds b.* expected a Kaldi bin"):
        Arrays.load(scp)["u"]
    assert not (tmp_path / "ran").exists()


def test_kaldiio_would_have_run_it(tmp_path):
    """Or the test above would prove nothing."""
    scp = place(tmp_path, b"PKL" + pickle.dumps(Bomb(tmp_path / "ran")))
    kaldiio.load_scp(str(scp))["u"]
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("array", [np.ones((5, 2), np.float32), np.arange(9, dtype=np.int32)])
def test_an_archive_cut_anywhere_is_refused(tmp_path, array):
    stream = io.BytesIO()
    kaldiio.matio.write_array(stream, array)
    content = stream.getvalue()
    np.testing.assert_array_equal(Arrays.load(place(tmp_path, content))["u"], array)
    for size in range(len(content)):
        with pytest.raises(ValueError, match=r"u: .*(holds b|the archive ends after)"):
            Arrays.load(place(tmp_path, content[:size]))["u"]


@given(st.binary(max_size=60))
def test_any_bytes_are_an_array_or_refused(tmp_path_factory, content):
    directory = tmp_path_factory.mktemp("any")
    for start in (b"", b"\0B\4", b"\0BFM \4"):
        try:
            found = Arrays.load(place(directory, start + content))["u"]
        except ValueError:
            continue
        assert found.nbytes <= len(content)


@pytest.mark.parametrize(
    "line",
    ["u touch {ran} |", "u |touch${{IFS}}{ran}:3", "u touch:{ran}|", "u | touch {ran} :2"],
)
def test_pipes_are_refused_and_not_run(tmp_path, line):
    (tmp_path / "a.scp").write_text(line.format(ran=tmp_path / "ran") + "\n")
    with pytest.raises(ValueError, match=r"a\.scp: u: .*: a pipe; expected <archive>:<offset>"):
        Arrays.load(tmp_path / "a.scp")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("{0}/a.ark", "expected <archive>:<offset>"),
        ("{0}/a.ark:-3", "expected <archive>:<offset>"),
        ("{0}/a.ark:2[0:1]", "expected <archive>:<offset>"),
        (":3", "expected <archive>:<offset>"),
        ("{0}/none.ark:2", r"cannot be read \(No such file"),
        ("{0}:2", "no plain file"),
        ("{0}/fifo:2", "no plain file"),
        ("{0}/a.ark:99999999999999999999999", "holds b'' there"),
    ],
)
def test_other_places_are_refused(tmp_path, where, message):
    os.mkfifo(tmp_path / "fifo")
    scp = write(tmp_path, {"u": np.ones(3, np.int32)})
    scp.write_text(f"u {where.format(tmp_path)}\n")
    with pytest.raises(ValueError, match=rf"a\.scp: u: .*: {message}"):
        Arrays.load(scp)["u"]


def test_an_archive_is_that_beside_its_scp_from_wherever_one_looks(tmp_path, monkeypatch):
    """Two recipes whose dumps have the same paths, as their makers wrote them."""
    for recipe, value in (("one", 1), ("two", 2)):
        folder = tmp_path / recipe / "dump/test"
        folder.mkdir(parents=True)
        monkeypatch.chdir(tmp_path / recipe)
        write(Path("dump/test"), {"u": np.full(3, value, np.int32)})
    for here in ("one", "two", "."):
        monkeypatch.chdir(tmp_path / here)
        for recipe, value in (("one", 1), ("two", 2)):
            scp = Path(os.path.relpath(tmp_path / recipe / "dump/test/a.scp"))
            assert Arrays.load(scp)["u"].tolist() == [value] * 3
            assert Arrays.load(scp.resolve())["u"].tolist() == [value] * 3


def test_an_archive_elsewhere_is_where_the_path_says(tmp_path, monkeypatch):
    (tmp_path / "asr").mkdir()
    (tmp_path / "units").mkdir()
    monkeypatch.chdir(tmp_path / "asr")
    write(tmp_path / "units", {"u": np.arange(3, dtype=np.int32)})
    lines = (tmp_path / "units/a.scp").read_text().replace(str(tmp_path / "units"), "../units")
    Path("a.scp").write_text(lines)
    assert Arrays.load("a.scp")["u"].tolist() == [0, 1, 2]


def test_links_lead_to_no_other_archive(tmp_path, monkeypatch):
    """A recipe that lies elsewhere, and one whose archives do; each beside another of that name."""
    for recipe, value in (("disk/one", 1), ("two", 2)):
        (tmp_path / recipe / "dump/test").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / recipe)
        write(Path("dump/test"), {"u": np.full(3, value, np.int32)})
    (tmp_path / "one").mkdir()
    (tmp_path / "one/dump").symlink_to(tmp_path / "disk/one/dump")
    assert Arrays.load("../one/dump/test/a.scp")["u"].tolist() == [1] * 3
    moved = tmp_path / "moved.ark"
    (tmp_path / "disk/one/dump/test/a.ark").rename(moved)
    (tmp_path / "disk/one/dump/test/a.ark").symlink_to(moved)
    assert Arrays.load("../one/dump/test/a.scp")["u"].tolist() == [1] * 3
    assert Arrays.load("../disk/one/dump/test/a.scp")["u"].tolist() == [1] * 3
