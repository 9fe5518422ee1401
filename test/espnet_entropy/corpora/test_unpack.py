"""Archives that are whole, cut off, or hostile."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from miniatures import tar_gz

from espnet_entropy.corpora.unpack import unpack, unpacked


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o4777
    return info


GOOD = [
    (member("./", tarfile.DIRTYPE), b""),
    (member("top", tarfile.DIRTYPE), b""),
    (member("./top/a/b.txt"), b"one"),
    (member("top/c.bin"), os.urandom(300_000)),
    (member("top/empty"), b""),
]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "x.tar.gz").write_bytes(tar_gz(*GOOD))
    return tmp_path / "x.tar.gz"


def tree(path: Path) -> dict[str, bytes]:
    files = [file for file in path.rglob("*") if file.is_file() and ".unpacked" not in file.parts]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


def test_a_good_archive(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert unpacked(good, out) is None
    assert unpack(good, out, "top") == 3
    assert tree(out) == {"top/a/b.txt": b"one", "top/c.bin": GOOD[3][1], "top/empty": b""}
    assert not (out / "top/c.bin").stat().st_mode & 0o6111  # neither setuid nor executable
    good.unlink()
    assert unpack(good, out, "top") == unpacked(good, out) == 3  # known to be done


def test_what_a_killed_run_left_is_completed(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "top/a").mkdir(parents=True)
    (out / "top/c.bin").write_bytes(GOOD[3][1][:1000])
    (out / "top/a/b.txt").write_bytes(b"one")
    before = (out / "top/a/b.txt").stat().st_mtime_ns
    unpack(good, out, "top")
    assert (out / "top/c.bin").read_bytes() == GOOD[3][1]
    assert (out / "top/a/b.txt").stat().st_mtime_ns == before


HOSTILE = {
    "escape": (member("top/../../evil"), "leads out of the folder"),
    "absolute": (member("/tmp/evil"), "leads out of the folder"),
    "backslash": (member("top\\..\\evil"), "leads out of the folder"),
    "elsewhere": (member("other/evil"), "outside 'top/'"),
    "link": (member("top/l", tarfile.SYMTYPE, "/etc"), "a link to '/etc'"),
    "hard link": (member("top/l", tarfile.LNKTYPE, "../../x"), "a link to"),
    "device": (member("top/d", tarfile.CHRTYPE), "a device"),
    "fifo": (member("top/f", tarfile.FIFOTYPE), "a device or another special file"),
    "top is a file": (member("top"), "a link or a folder|outside|File exists"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members(tmp_path: Path, case: str) -> None:
    info, message = HOSTILE[case]
    (tmp_path / "x.tar.gz").write_bytes(tar_gz(GOOD[2], (info, b"")))
    with pytest.raises(ValueError, match=message):
        unpack(tmp_path / "x.tar.gz", tmp_path / "deep/out", "top")
    assert tree(tmp_path / "deep/out") == {"top/a/b.txt": b"one"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "x.tar.gz"]
    assert unpacked(tmp_path / "x.tar.gz", tmp_path / "deep/out") is None


@pytest.mark.parametrize("place", ["top", "top/a", "top/a/b.txt"])
def test_a_link_in_the_folder_is_not_followed(good: Path, tmp_path: Path, place: str) -> None:
    outside, link = tmp_path / "outside", tmp_path / "out" / place
    outside.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(outside / "file" if place.endswith("txt") else outside)
    with pytest.raises(ValueError, match="is a link"):
        unpack(good, tmp_path / "out", "top")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "cut at the end", "bits", "text", "empty", "no files"])
def test_damage(good: Path, tmp_path: Path, damage: str) -> None:
    content = bytearray(good.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "cut at the end":
        content = content[:-6]  # all members are there: only the checksum is not
    elif damage == "bits":
        content[len(content) // 2] ^= 0xFF
    elif damage == "text":
        content = bytearray(b"<html>not found</html>" * 100)
    elif damage == "empty":
        content = bytearray()
    else:
        content = bytearray(tar_gz(GOOD[1]))
    good.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.tar\.gz: (damaged after|holds no files)"):
        unpack(good, tmp_path / "out", "top")
    assert unpacked(good, tmp_path / "out") is None


def test_no_archive(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such archive"):
        unpack(tmp_path / "x.tar.gz", tmp_path, "top")
