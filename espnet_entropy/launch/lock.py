"""One run at a time where a stage or a sweep writes.

The lock is one of the kernel (``flock``) on an open file: it ends with the process that holds the
file open, however that ends, so that nothing a killed run leaves behind is in the way.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = ".lock"
PATIENCE = 5.0  # seconds: what a killed run had started may take a moment to end
INTERVAL = 0.1


def hold(descriptor: int, path: Path, pid: int) -> None:
    """Lock an open file, and write into it who did.

    All that share the opened file share the lock: of a descriptor that was inherited, the process
    that opened it goes on holding the lock after this one has ended.

    Args:
        descriptor: of the file, open for writing.
        path: of the file.
        pid: of the process to name.

    Raises:
        ValueError: if another holds it; names its pid and host.
    """
    until = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                raise ValueError(
                    f"{path}: another run is at work here, {_holder(path)}. Wait for its end, or "
                    "end it; then give the same command again."
                ) from None
            time.sleep(INTERVAL)
        except OSError as error:  # some network file systems have no locks
            logging.warning("%s: cannot be locked (%s): start no second run here", path, error)
            return
    os.ftruncate(descriptor, 0)
    os.write(descriptor, json.dumps({"pid": pid, "host": socket.gethostname()}).encode())


@contextmanager
def only_run(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory, which is made if it is missing.

    Raises:
        ValueError: as :func:`hold`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / NAME, "a") as stream:  # not inherited by what this process starts
        hold(stream.fileno(), directory / NAME, os.getpid())
        yield


def _holder(path: Path) -> str:
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        return f"pid {about['pid']} on {about['host']}"
    except (OSError, ValueError, KeyError):  # just begun
        return "its pid is not known yet"
