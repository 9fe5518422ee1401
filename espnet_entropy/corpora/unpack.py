"""A .tar.gz that somebody else made, unpacked so that it cannot leave its folder.

Only plain files and folders come out: a link, a device, or a name that leads elsewhere makes the
whole archive suspect, and it is refused by that member's name. What a killed run had unpacked is
not written again.
"""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import tarfile
import zlib
from pathlib import Path
from typing import IO

from espnet_entropy.corpora.download import Meter
from espnet_entropy.utils.files import atomic_write

_PIECE = 1 << 20  # bytes read at a time
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, OSError)


def unpack(archive: str | Path, out: str | Path, top: str) -> int:
    """Unpack ``archive`` below ``out``; done once, it is not done again.

    Args:
        archive: the ``.tar.gz``; read once, from beginning to end, its checksums included.
        out: the folder; ``<out>/.unpacked/<archive>.json`` says that it is done.
        top: the folder inside the archive that everything must be in.

    Returns:
        Number of files in the archive.

    Raises:
        ValueError: naming archive and member: damaged, cut off, not as published (another
            folder, an absolute name, ``..``, a link or a device), or no room on the disk.
    """
    archive, out = Path(archive), Path(out)
    done = unpacked(archive, out)
    if done is not None:
        logging.info("%s: is unpacked already (%d files)", archive, done)
        return done
    if not archive.is_file():
        raise ValueError(f"{archive}: no such archive; fetch it first.")
    work = _Unpacker(archive, out, top)
    try:
        work.run()
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise ValueError(f"{archive}: cannot be unpacked to {out} ({error}).") from error
        raise ValueError(
            f"{archive}: damaged after {work.count} files ({error}); expected the whole .tar.gz. "
            "Remove it and fetch it again."
        ) from error
    if work.count == 0:
        raise ValueError(f"{archive}: holds no files; remove it and fetch it again.")
    with atomic_write(_mark(archive, out)) as stream:
        json.dump({"files": work.count, "bytes": archive.stat().st_size}, stream)
    return work.count


def unpacked(archive: Path, out: Path) -> int | None:
    """Number of files that came from ``archive`` (it may be gone), or ``None`` if not done."""
    mark = _mark(archive, out)
    return int(json.loads(mark.read_text())["files"]) if mark.is_file() else None


def _mark(archive: Path, out: Path) -> Path:
    return out / ".unpacked" / f"{archive.name}.json"


class _Counted:
    """The bytes of a file, and in the log how far it has been read."""

    def __init__(self, raw: IO[bytes], archive: Path) -> None:
        self._raw, self._meter = raw, Meter(f"unpack {archive.name}", archive.stat().st_size)

    def read(self, count: int = -1) -> bytes:
        data = self._raw.read(count)
        self._meter.add(len(data))
        return data


class _Unpacker:
    """One archive on its way into one folder."""

    def __init__(self, archive: Path, out: Path, top: str) -> None:
        self.archive, self.out, self.top = archive, out, top
        self.count = 0
        self._folders = {out}  # known to be real ones: no link on the way

    def run(self) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        with open(self.archive, "rb") as raw:
            # gzip's own reader: tarfile's checks neither the checksum nor the end
            stream = gzip.GzipFile(fileobj=_Counted(raw, self.archive), mode="rb")  # type: ignore[call-overload]
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    self._member(tar, member)
                    tar.members.clear()  # type: ignore[attr-defined]  # millions of headers
            while stream.read(_PIECE):  # to the end, where the checksum is
                pass

    def _member(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        parts = [part for part in member.name.split("/") if part not in ("", ".")]
        if member.isdir() and not parts:  # "./", where tar was told to pack "."
            return
        self._check(member, parts)
        path = self.out.joinpath(*parts)
        self._make_folder(path if member.isdir() else path.parent)
        if member.isdir():
            return
        if path.is_symlink() or path.is_dir():
            raise ValueError(f"{self.archive}: {path} is a link or a folder; expected no such.")
        if not (path.is_file() and path.stat().st_size == member.size):
            source = tar.extractfile(member)
            assert source is not None, member.name
            with open(path, "wb") as stream:
                shutil.copyfileobj(source, stream)
        self.count += 1

    def _check(self, member: tarfile.TarInfo, parts: list[str]) -> None:
        """Refuse whatever the publisher's archive does not hold."""
        if member.issym() or member.islnk():
            problem = f"a link to '{member.linkname}'"
        elif not (member.isreg() or member.isdir()):
            problem = "a device or another special file"
        elif member.name.startswith("/") or ".." in parts or "\\" in member.name:
            problem = "a name that leads out of the folder"
        elif not parts or parts[0] != self.top:
            problem = f"outside '{self.top}/'"
        else:
            return
        raise ValueError(
            f"{self.archive}: member {member.name!r} is {problem}; expected plain files below "
            f"'{self.top}/'. This is not the publisher's archive: remove it and what came of it."
        )

    def _make_folder(self, folder: Path) -> None:
        """Make a folder whose every part below ``out`` is a real one."""
        if folder in self._folders:
            return
        self._make_folder(folder.parent)
        if folder.is_symlink():
            raise ValueError(f"{self.archive}: {folder} is a link; expected a folder. Remove it.")
        folder.mkdir(exist_ok=True)
        self._folders.add(folder)
