"""Files that are whole or absent, and fingerprints of what they hold."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@contextmanager
def atomic_write(path: str | Path, mode: str = "w") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path``; on success fsync it and rename it there.

    A reader, or a run after SIGKILL, sees the old file or the new one, never a part.

    Args:
        path: where the file shall be; missing parent directories are made.
        mode: ``"w"`` (UTF-8 text) or ``"wb"``.
    """
    assert mode in ("w", "wb"), mode
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes files private; what a recipe writes follows the umask as usual
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        fsync_directory(path.parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def _umask() -> int:
    """Read where Linux tells it: to set and restore it would meet what other threads write."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("\nUmask:")[2].split()[0], 8)


def fsync_directory(path: Path) -> None:
    """Make a rename inside ``path`` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def safe_name(key: str) -> str:
    """An utterance id as a file name: no ``/``, so that it stays in its directory, and unique.

    Example:
        >>> safe_name("../a%b")
        '..%2Fa%25b'
    """
    return key.replace("%", "%25").replace("/", "%2F")


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def fingerprint(config: Mapping[str, Any], arrays: Mapping[str, np.ndarray] | None = None) -> str:
    """16 hexadecimal digits that change with any value of ``config`` or of ``arrays``.

    Args:
        config: plain values (those JSON knows).
        arrays: named arrays; names, dtypes, shapes and bytes count.
    """
    import numpy as np  # here, so that the launcher and stamps start without it

    digest = hashlib.sha256(
        json.dumps(config, sort_keys=True, ensure_ascii=False, default=str).encode()
    )
    for name, array in sorted((arrays or {}).items()):
        digest.update(f"|{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
