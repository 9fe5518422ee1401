"""A large file over HTTP: killed at any time and resumed, checked against its MD5.

``<file>.part`` holds what has come so far, ``<file>.part.json`` which version of the file it
is a part of (the server's ETag or date): a resumed download never joins two versions. The file
itself appears only when it is whole and its checksum, where there is one, is right.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import json
import logging
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from espnet_entropy import __version__
from espnet_entropy.utils.files import atomic_write, fsync_directory

_PIECE = 1 << 20  # bytes read at a time
_MARGIN = 64 << 20  # bytes of disk to leave free


@dataclass(frozen=True)
class Patience:
    """How long a download goes on.

    Args:
        tries: attempts in a row that bring nothing before it gives up.
        timeout: seconds without a byte that end an attempt.
        pause: seconds before the second attempt, doubled for each further one, 60 at most.
    """

    tries: int = 6
    timeout: float = 60.0
    pause: float = 2.0


PATIENCE = Patience()


def download(
    url: str, path: str | Path, md5: str | None = None, patience: Patience = PATIENCE
) -> Path:
    """Fetch ``url`` to ``path``, going on where an earlier run stopped.

    A file that is there already is checked, not fetched again.

    Args:
        url: ``http://`` or ``https://``.
        path: where the file goes.
        md5: the checksum that the publisher gives, in hexadecimal, or ``None``.
        patience: attempts and time limits.

    Returns:
        ``path``.

    Raises:
        ValueError: naming URL and remedy, if the server refuses or stays silent, the disk is
            full, another process fetches the same file, or the checksum is wrong (what came is
            then kept as ``<path>.wrong``).
    """
    path = Path(path)
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"{url}: expected an address that begins with http:// or https://.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with _only_one(path):
        if path.is_file():
            logging.info("%s: is there already", path)
            _check_md5(path, path, md5, url)
            return path
        part = _Part(url, path, patience)
        part.fetch()
        _check_md5(part.file, path, md5, url)
        part.file.replace(path)
        fsync_directory(path.parent)
        part.note.unlink(missing_ok=True)
    return path


def fetch_text(url: str, patience: Patience = PATIENCE) -> str:
    """A small text file (a list of checksums), at most 1 MiB, UTF-8.

    Raises:
        ValueError: naming URL and remedy.
    """
    for attempt in range(patience.tries):
        try:
            with _open(url, {}, patience.timeout) as answer:
                return str(answer.read(_PIECE).decode("utf-8"))
        except _PASSING as error:
            problem = _reason(error)
        if attempt + 1 < patience.tries:
            _pause(patience, attempt, url, problem)
    raise ValueError(f"{url}: {problem}; {_HELP}")


def parse_md5sums(text: str) -> dict[str, str]:
    """File name (without folders) to MD5, from the lines that ``md5sum`` writes.

    Example:
        >>> parse_md5sums("D41D8CD98F00B204E9800998ECF8427E *./a.tar.gz")
        {'a.tar.gz': 'd41d8cd98f00b204e9800998ecf8427e'}
    """
    found = re.findall(r"^\s*([0-9a-fA-F]{32})\s+\*?(\S.*?)\s*$", text, re.MULTILINE)
    return {name.rsplit("/", 1)[-1]: digest.lower() for digest, name in found}


def md5_file(path: Path) -> str:
    """MD5 of a file in hexadecimal, read in pieces, with progress in the log."""
    digest = hashlib.md5(usedforsecurity=False)
    meter = Meter(f"check {path.name}", path.stat().st_size)
    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
            meter.add(len(piece))
    return digest.hexdigest()


class Meter:
    """Bytes done, speed and time left, in the log every ten seconds.

    Args:
        what: what the line begins with.
        total: bytes in all, or ``None`` if nobody knows.
        done: bytes that were there before.
        clock: seconds; for tests.
    """

    EVERY = 10.0  # seconds

    def __init__(
        self,
        what: str,
        total: int | None,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what, self.total, self.done, self._clock = what, total, done, clock
        self._from, self._began = done, clock()
        self._shown = self._began

    def add(self, count: int) -> None:
        """Note ``count`` further bytes."""
        self.done += count
        if self._clock() - self._shown >= self.EVERY:
            self._shown = self._clock()
            logging.info("%s", self.line())

    def line(self) -> str:
        """Such as ``a.tar.gz: 20 MB of 100 MB (20 %), 2.0 MB/s, 0:00:40 left``."""
        speed = (self.done - self._from) / max(self._clock() - self._began, 1e-9)
        shown = f"{self.what}: {_size(self.done)}"
        if self.total:
            shown += f" of {_size(self.total)} ({100 * self.done // self.total} %)"
        shown += f", {speed / 1e6:.1f} MB/s"
        if self.total and speed > 0:
            left = round((self.total - self.done) / speed)
            shown += f", {left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
        return shown


class _RefusedError(Exception):
    """What another attempt would not change."""


_PASSING = (urllib.error.URLError, http.client.HTTPException, OSError, UnicodeDecodeError)
_HELP = (
    "check address and connection, and run it again: it goes on where it stopped. Another mirror: "
    "--url."
)


class _Part:
    """The beginning of a file, growing attempt by attempt."""

    def __init__(self, url: str, path: Path, patience: Patience) -> None:
        self.url, self.path, self.patience = url, path, patience
        self.file = path.with_name(path.name + ".part")
        self.note = path.with_name(path.name + ".part.json")

    def fetch(self) -> None:
        """Attempt after attempt until the part is the whole."""
        idle = 0
        while idle < self.patience.tries:
            before = self._size()
            try:
                if self._attempt():
                    return
                problem = "the connection ended early"
            except _RefusedError as error:
                raise ValueError(f"{self.url}: {error}") from None
            except _PASSING as error:
                if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
                    raise ValueError(f"{self.file}: {_reason(error)}; make room.") from None
                problem = _reason(error)
            idle = 0 if self._size() > before else idle + 1
            if idle < self.patience.tries:
                _pause(self.patience, idle, self.url, problem)
        raise ValueError(f"{self.url}: {problem}; {_HELP}")

    def _size(self) -> int:
        return self.file.stat().st_size if self.file.is_file() else 0

    def _attempt(self) -> bool:
        """Ask for what is missing and append it; whether the part is the whole now."""
        have, version = self._size(), self._version()
        if not version:
            have = 0  # nobody knows what it is a part of
        # If-Range: the rest if the file is still the same, the whole of it otherwise
        headers = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
        try:
            answer = _open(self.url, headers, self.patience.timeout)
        except urllib.error.HTTPError as error:
            if error.code != 416:
                raise
            if _range(error.headers) == (None, have):  # "*/<size>": there is no more
                return True
            self.file.unlink()
            return False
        with answer:
            first, total = _range(answer.headers)
            if answer.status != 206:
                length = answer.headers.get("Content-Length")
                have, total = 0, int(length) if length else None
            elif first != have:
                raise _RefusedError(
                    f"asked for bytes from {have}, got them from {first}; use --url."
                )
            self._check_disk(have, total)
            self._remember(answer.headers)
            self._receive(answer, have, total)
        return total is None or self._size() == total

    def _receive(self, answer: IO[bytes], have: int, total: int | None) -> None:
        meter = Meter(self.path.name, total, have)
        if have:
            logging.info("%s: going on after %s", self.path.name, _size(have))
        with open(self.file, "r+b" if have else "wb") as stream:
            stream.seek(have)
            stream.truncate()
            while piece := answer.read(_PIECE):
                stream.write(piece)
                meter.add(len(piece))

    def _check_disk(self, have: int, total: int | None) -> None:
        free = shutil.disk_usage(self.path.parent).free
        if total is not None and total - have > free - _MARGIN:
            raise _RefusedError(
                f"{_size(total - have)} are missing, and {self.path.parent} has {_size(free)} free;"
                " make room or choose another place."
            )

    def _version(self) -> str:
        """What If-Range accepts as the name of the version begun: a strong ETag, or a date."""
        try:
            note = json.loads(self.note.read_text(encoding="utf-8"))
            return str(note["version"]) if note["url"] == self.url else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def _remember(self, headers: Any) -> None:
        tag = headers.get("ETag", "")
        version = headers.get("Last-Modified", "") if tag.startswith("W/") or not tag else tag
        with atomic_write(self.note) as stream:
            json.dump({"url": self.url, "version": version}, stream)


def _open(url: str, headers: dict[str, str], timeout: float) -> Any:
    """The answer to a GET; a status that another attempt would not change is a ``ValueError``."""
    agent = {"User-Agent": f"espnet-entropy/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**agent, **headers})
    try:
        return urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if 400 <= error.code < 500 and error.code not in (408, 416, 425, 429):
            raise ValueError(
                f"{url}: the server answers {error.code} ({error.reason}); check the address, or "
                "take another mirror: --url."
            ) from None
        raise


def _range(headers: Any) -> tuple[int | None, int | None]:
    """First byte and total of ``Content-Range: bytes 5-9/10``; ``None`` for what is not there."""
    found = re.match(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)$", headers.get("Content-Range", ""))
    if not found:
        return None, None
    first, total = found.groups()
    return (None if first is None else int(first)), (None if total == "*" else int(total))


def _check_md5(file: Path, path: Path, md5: str | None, url: str) -> None:
    if md5 is None:
        return
    found = md5_file(file)
    if found != md5.lower():
        wrong = path.with_name(path.name + ".wrong")
        file.replace(wrong)
        path.with_name(path.name + ".part.json").unlink(missing_ok=True)
        raise ValueError(
            f"{url}: MD5 {found}, but the publisher says {md5.lower()}; what came is kept as "
            f"{wrong}. Remove it and run it again; if the same comes again, take another mirror: "
            "--url."
        )
    logging.info("%s: MD5 is right", path)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold a lock on the download; two writers would mix their bytes."""
    lock = path.with_name(path.name + ".lock")
    with open(lock, "w", encoding="ascii") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(stream.fileno()), lock.stat()):
                raise OSError  # its owner has just removed it, and another took a new one
        except OSError:
            raise ValueError(
                f"{path}: another process is fetching it (it holds {lock}); wait for it."
            ) from None
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _pause(patience: Patience, attempt: int, url: str, problem: str) -> None:
    seconds = min(60.0, patience.pause * 2**attempt)
    logging.warning("%s: %s; again in %g s", url, problem, seconds)
    time.sleep(seconds)


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return " ".join(str(reason).split()) or type(error).__name__


def _size(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 1000 and len(units) > 1:
        count /= 1000
        units.pop(0)
    return (
        f"{count:.0f} {units[0]}" if count >= 100 or units[0] == "B" else f"{count:.1f} {units[0]}"
    )
