import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from espnet_entropy.utils.files import atomic_write, fingerprint, sha256_file


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_write(path) as stream:
            stream.write("half of the new")
            raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_sigkill_in_the_middle_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from espnet_entropy.utils.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as stream:\n"
        "    stream.write('half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert result.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_written_files_follow_the_umask(tmp_path):
    before = os.umask(0o022)
    try:
        with atomic_write(tmp_path / "a", "wb") as stream:
            stream.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_sha256_of_the_empty_file_is_the_published_one(tmp_path):
    (tmp_path / "a").touch()
    known = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert sha256_file(tmp_path / "a") == known


def test_fingerprint_sees_every_difference():
    array = np.arange(6, dtype=np.float32)
    prints = {
        fingerprint({"a": 1}),
        fingerprint({"a": 2}),
        fingerprint({"a": 1}, {"x": array}),
        fingerprint({"a": 1}, {"y": array}),
        fingerprint({"a": 1}, {"x": array.reshape(2, 3)}),
        fingerprint({"a": 1}, {"x": array.astype(np.float64)}),
        fingerprint({"a": 1}, {"x": array + 1}),
    }
    assert len(prints) == 7
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({}, {"x": array[::2]}) == fingerprint({}, {"x": array[::2].copy()})
