"""A corpus in fixed shards: the unit of resumption and of parallel work.

The plan depends on the list of utterances and their sizes alone, never on what is
already finished nor on the number of jobs. A shard is a pair of files, ``ark`` and
``scp``; the ``scp`` appears last and atomically, so "it exists" means "it is whole".
A run that was killed redoes the shard it was in, and the result is the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import kaldiio
import numpy as np

from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write, fingerprint, sha256_file

Results = Iterable[tuple[str, np.ndarray | Exception]]


def plan_shards(sizes: Mapping[str, int], shard_size: int) -> list[list[str]]:
    """Split utterances, in the order given, into shards of about ``shard_size``.

    Args:
        sizes: utterance id to size (samples or units; anything that adds up).
        shard_size: a shard is closed when it has reached this sum.

    Example:
        >>> plan_shards({"a": 3, "b": 3, "c": 1}, 5)
        [['a', 'b'], ['c']]
    """
    if shard_size < 1:
        raise ValueError(f"shard_size: expected at least 1, got {shard_size}.")
    shards: list[list[str]] = []
    filled = shard_size
    for utt, size in sizes.items():
        if filled >= shard_size:
            shards.append([])
            filled = 0
        shards[-1].append(utt)
        filled += size
    return shards


class Shards:
    """The plan of a corpus in ``<dir>/shards/<name>.<i>.<suffix>``, and what of it is finished.

    Args:
        directory: output directory (``dump/units/train``, say).
        name: ``units``, ``scored``, …
        shards: the plan of :func:`plan_shards`.
        key: fingerprint of whatever decides the content (tokenizer, LM); kept beside the
            shards. Shards of another key or plan are stale: :meth:`pending` refuses them.

    Attributes:
        last: suffix of the file that is written last: its presence says that a shard is whole.
    """

    last = "scp"

    def __init__(self, directory: str | Path, name: str, shards: list[list[str]], key: str) -> None:
        self.directory, self.name, self.shards = Path(directory), name, shards
        self.key = fingerprint({"key": key, "shards": shards})

    def _path(self, index: int, suffix: str) -> Path:
        return self.directory / "shards" / f"{self.name}.{index + 1}.{suffix}"

    def pending(self, job: int = 1, nj: int = 1) -> list[int]:
        """Indices of the unfinished shards of job ``job`` of ``nj`` (1-based).

        Raises:
            ValueError: if the directory holds shards of another plan or model.
        """
        if not 1 <= job <= nj:
            raise ValueError(f"job: expected 1..{nj}, got {job}.")
        self._check_key()
        mine = range(job - 1, len(self.shards), nj)
        return [i for i in mine if not self._path(i, self.last).is_file()]

    def _check_key(self) -> None:
        stamp = self.directory / "shards" / f"{self.name}.key.json"
        if stamp.is_file():
            found = json.loads(stamp.read_text())["key"]
            if found != self.key:
                raise ValueError(
                    f"{self.directory}: holds '{self.name}' of another model or utterance list "
                    f"(key {found}, now {self.key}); remove the directory to make it anew."
                )
        else:
            with atomic_write(stamp) as stream:
                json.dump({"key": self.key}, stream)

    def _check_whole(self) -> None:
        """Refuse to merge what is not finished, or was made by another model."""
        self._check_key()
        absent = [i for i in range(len(self.shards)) if not self._path(i, self.last).exists()]
        if absent:
            raise ValueError(
                f"{self.directory}: '{self.name}' lacks shard(s) "
                f"{', '.join(str(i + 1) for i in absent[:10])}; "
                "run the stage again, finished shards are kept."
            )


class ShardedArk(Shards):
    """Kaldi archives ``<dir>/shards/<name>.<i>.{ark,scp}`` and their merged ``<dir>/<name>.scp``.

    Args:
        directory: output directory (``dump/units/train``, say).
        name: ``units``, ``scored``, …
        shards: the plan of :func:`plan_shards`.
        key: as :class:`Shards`.
    """

    def write(self, index: int, results: Results) -> None:
        """Write one shard; an utterance that comes with an exception is listed as failed."""
        ark, scp = self._path(index, "ark"), self._path(index, "scp")
        lines: list[str] = []
        failed: dict[str, str] = {}
        with atomic_write(ark, "wb") as stream:
            for utt, result in results:
                if isinstance(result, Exception):
                    failed[utt] = " ".join(str(result).split())
                    continue
                stream.write(f"{utt} ".encode())
                lines.append(f"{utt} {ark}:{stream.tell()}\n")
                kaldiio.matio.write_array(stream, result)
        with atomic_write(self._path(index, "failed")) as stream:
            stream.writelines(f"{utt} {why}\n" for utt, why in failed.items())
        with atomic_write(scp) as stream:  # last: its presence says that the shard is whole
            stream.writelines(lines)

    def merge(self, max_failed: float = 0.05) -> dict[str, str]:
        """Concatenate the shards' scp files, in order, into ``<dir>/<name>.scp``.

        Skipped utterances go to ``<dir>/<name>.failed``, the archives' digests to
        ``<dir>/<name>.sha256``.

        Args:
            max_failed: the largest tolerated share of failed utterances (0..1).

        Returns:
            Utterance id to ``ark:offset``.

        Raises:
            ValueError: naming the shards that are missing, or if too many utterances failed.
        """
        self._check_whole()
        failures = FailureLog(self.name, self.directory / f"{self.name}.failed", max_failed)
        entries: dict[str, str] = {}
        for index in range(len(self.shards)):
            entries.update(_read_pairs(self._path(index, "scp")))
            for utt, why in _read_pairs(self._path(index, "failed")).items():
                failures.add(utt, why)
        failures.close(total=sum(map(len, self.shards)))
        with atomic_write(self.directory / f"{self.name}.scp") as stream:
            stream.writelines(f"{utt} {where}\n" for utt, where in entries.items())
        self._write_digest()
        return entries

    def _write_digest(self) -> None:
        """``<name>.sha256``: what the archives hold; the scp has only offsets, which may agree."""
        digests = [sha256_file(self._path(i, "ark")) for i in range(len(self.shards))]
        with atomic_write(self.directory / f"{self.name}.sha256") as stream:
            stream.writelines(f"{digest}\n" for digest in digests)

    def run(self, make: Callable[[list[str]], Results], job: int = 1, nj: int = 1) -> None:
        """Make and write every pending shard of this job with ``make(utterances)``."""
        for index in self.pending(job, nj):
            self.write(index, make(self.shards[index]))


def _read_pairs(path: Path) -> dict[str, str]:
    """``<utt> <rest of the line>`` lines, in order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {utt: rest for utt, rest in (line.split(maxsplit=1) for line in lines)}
