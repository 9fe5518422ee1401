"""A corpus in fixed shards: the unit of resumption and of parallel work.

The plan depends on the list of utterances and their sizes alone, never on what is
already finished nor on the number of jobs. A shard is a pair of files, ``ark`` and
``scp``; the ``scp`` appears last and atomically, so "it exists" means "it is whole".
A run that was killed redoes the shard it was in, and the result is the same.
Which job makes which shards is planned by size, over all sets of a stage (:class:`Job`).
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np

from espnet_entropy.utils.failures import FailureLog, reason_text
from espnet_entropy.utils.files import atomic_write, sha256_file
from espnet_entropy.utils.scp import read_table, split_line

Results = Iterable[tuple[str, np.ndarray | Exception]]

# Three files each: at 20 000 hours ten minutes a shard would be 590 000 files for units and scores
MOST_SHARDS = 4000


class ShardPlan(Sequence[list[str]]):
    """Shards as lists of utterance ids, held as one text: 100 MB where lists would be 700 MB.

    Example:
        >>> plan = ShardPlan()
        >>> plan.append(["a", "b"])
        >>> plan.append(["c"])
        >>> list(plan), plan[1]
        ([['a', 'b'], ['c']], ['c'])
    """

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = [0]  # of each shard, in the text

    def append(self, utts: Sequence[str]) -> None:
        """Add a shard, at least one id, none with white space."""
        assert utts, "a shard without utterances"
        self._text += "\n".join(utts).encode()
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        return self._text[self._ends[place] : self._ends[place + 1]].decode().split("\n")


def plan_shards(
    sizes: Mapping[str, int], shard_size: int, most: int | None = MOST_SHARDS
) -> ShardPlan:
    """Split utterances, in the order given, into shards of about ``shard_size``.

    Args:
        sizes: utterance id to size (samples or units; anything that adds up).
        shard_size: a shard is closed when it has reached this sum.
        most: if there could be more shards than this, they are larger; ``None``: never, for what is
            held in memory shard by shard.

    Example:
        >>> list(plan_shards({"a": 3, "b": 3, "c": 1}, 5))
        [['a', 'b'], ['c']]
    """
    if shard_size < 1:
        raise ValueError(f"shard_size: expected at least 1, got {shard_size}.")
    if most is not None and len(sizes) > most:
        shard_size = max(shard_size, -(-sum(sizes.values()) // most))
    plan = ShardPlan()
    shard: list[str] = []
    filled = 0
    for utt, size in sizes.items():
        if shard and filled >= shard_size:
            plan.append(shard)
            shard, filled = [], 0
        shard.append(utt)
        filled += size
    if shard:
        plan.append(shard)
    return plan


class Job:
    """One of ``nj`` jobs that share the shards of one set after another.

    Each shard goes to the job that has least so far, the largest of a set first. Every job comes
    to the same plan by itself; no job gets more than the mean plus one shard, counted over all
    sets, so none is the last one for long. It remembers what it has shared out: ask it once per
    set.

    Args:
        number: which job this is, from 1.
        nj: how many there are.

    Raises:
        ValueError: if there is no such job.

    Example:
        >>> first, second = Job(1, 2), Job(2, 2)
        >>> first.share([5, 5, 2]), second.share([5, 5, 2])
        ([0, 2], [1])
        >>> first.share([1]), second.share([1])  # of the next set: the second has less to do
        ([], [0])
    """

    def __init__(self, number: int = 1, nj: int = 1) -> None:
        if not 1 <= number <= nj:
            raise ValueError(f"job: expected 1..{nj}, got {number}.")
        self.number, self.nj = number, nj
        self._loads = [(0, index) for index in range(nj)]  # a heap

    def share(self, sizes: Sequence[int]) -> list[int]:
        """Indices, in order, of this job's shards of the next set.

        Args:
            sizes: of the set's shards, in whatever adds up.
        """
        mine = []
        for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
            load, job = self._loads[0]
            heapq.heapreplace(self._loads, (load + sizes[index], job))
            if job == self.number - 1:
                mine.append(index)
        return sorted(mine)


class Shards:
    """The plan of a corpus in ``<dir>/shards/<name>.<i>.<suffix>``, and what of it is finished.

    Args:
        directory: output directory (``dump/units/train``, say).
        name: ``units``, ``scored``, …
        shards: the plan of :func:`plan_shards`.
        key: fingerprint of whatever decides the content (tokenizer, LM); kept beside the
            shards. Shards of another key or plan are stale: :meth:`pending` refuses them.
        sizes: size of each utterance, for sharing out; all alike if not given.

    Attributes:
        last: suffix of the file that is written last: its presence says that a shard is whole.
    """

    last = "scp"

    def __init__(
        self,
        directory: str | Path,
        name: str,
        shards: Sequence[list[str]],
        key: str,
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.directory, self.name, self.shards = Path(directory), name, shards
        self.key = plan_key(key, shards)
        self.sizes = _totals(shards, sizes) if sizes else [len(shard) for shard in shards]

    def _path(self, index: int, suffix: str) -> Path:
        return self.directory / "shards" / f"{self.name}.{index + 1}.{suffix}"

    def _sweep(self, index: int) -> None:
        """Remove what killed runs left half written; no other job writes this shard."""
        for left in (self.directory / "shards").glob(f".{self.name}.{index + 1}.*.tmp"):
            left.unlink(missing_ok=True)

    def pending(self, job: Job | None = None) -> list[int]:
        """Indices of the unfinished shards of a job; of all, if not given.

        Raises:
            ValueError: if the directory holds shards of another plan or model.
        """
        self._check_key()
        mine = (job or Job()).share(self.sizes)
        return [i for i in mine if not self._path(i, self.last).is_file()]

    def found_key(self) -> str | None:
        """Key of the shards that are there (:func:`plan_key`); ``None`` if there are none."""
        if not self._stamp.is_file():
            return None
        found: str = json.loads(self._stamp.read_text())["key"]
        return found

    @property
    def _stamp(self) -> Path:
        return self.directory / "shards" / f"{self.name}.key.json"

    def _check_key(self) -> None:
        if (found := self.found_key()) is not None:
            if found != self.key:
                raise ValueError(
                    f"{self.directory}: holds '{self.name}' of another model or utterance list "
                    f"(key {found}, now {self.key}); remove the directory to make it anew."
                )
        else:
            with atomic_write(self._stamp) as stream:
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


def plan_key(key: str, shards: Iterable[list[str]]) -> str:
    """``fingerprint({"key": key, "shards": shards})``, shard by shard."""
    digest = hashlib.sha256(f'{{"key": {json.dumps(key, ensure_ascii=False)}, "shards": ['.encode())
    for index, shard in enumerate(shards):
        text = json.dumps(shard, ensure_ascii=False)
        digest.update(f"{', ' if index else ''}{text}".encode())
    digest.update(b"]}")
    return digest.hexdigest()[:16]


def _totals(shards: Sequence[list[str]], sizes: Mapping[str, int]) -> list[int]:
    """Size of each shard; looks up only what is not in the order of the shards."""
    rest = iter(sizes.items())
    totals = [0] * len(shards)
    for index, shard in enumerate(shards):
        for utt in shard:
            name, size = next(rest, (None, 0))
            totals[index] += size if name == utt else sizes[utt]
    return totals


class ShardedArk(Shards):
    """Kaldi archives ``<dir>/shards/<name>.<i>.{ark,scp}`` and their merged ``<dir>/<name>.scp``.

    Args:
        directory: output directory (``dump/units/train``, say).
        name: ``units``, ``scored``, …
        shards: the plan of :func:`plan_shards`.
        key: as :class:`Shards`.
        sizes: as :class:`Shards`.
    """

    def write(self, index: int, results: Results) -> None:
        """Write one shard; an utterance that comes with an exception is listed as failed."""
        self._sweep(index)
        ark, scp = self._path(index, "ark"), self._path(index, "scp")
        lines: list[str] = []
        failed: dict[str, str] = {}
        with atomic_write(ark, "wb") as stream:
            for utt, result in results:
                if isinstance(result, Exception):
                    failed[utt] = reason_text(result)
                    continue
                stream.write(f"{utt} ".encode())
                lines.append(f"{utt} {ark}:{stream.tell()}\n")
                kaldiio.matio.write_array(stream, result)
        with atomic_write(self._path(index, "failed")) as stream:
            stream.writelines(f"{utt} {why}\n" for utt, why in failed.items())
        with atomic_write(scp) as stream:  # last: its presence says that the shard is whole
            stream.writelines(lines)

    def merge(self, max_failed: float = 0.05) -> Mapping[str, str]:
        """Concatenate the shards' scp files, in order, into ``<dir>/<name>.scp``.

        Skipped utterances go to ``<dir>/<name>.failed``, the archives' digests to
        ``<dir>/<name>.sha256``.

        Args:
            max_failed: the largest tolerated share of failed utterances (0..1).

        Returns:
            Utterance id to ``ark:offset``; on disk, if it is large.

        Raises:
            ValueError: naming the shards that are missing, or if too many utterances failed.
        """
        self._check_whole()
        failures = FailureLog(self.name, self.directory / f"{self.name}.failed", max_failed)
        scp = self.directory / f"{self.name}.scp"
        with atomic_write(scp) as stream:
            for index in range(len(self.shards)):
                stream.write(self._path(index, "scp").read_text(encoding="utf-8"))
                for utt, why in _read_pairs(self._path(index, "failed")).items():
                    failures.add(utt, why)
            failures.close(total=sum(map(len, self.shards)))  # too many: nothing is written
        self._write_digest()
        return read_table(scp)

    def _write_digest(self) -> None:
        """``<name>.sha256``: what the archives hold; the scp has only offsets, which may agree."""
        digests = [sha256_file(self._path(i, "ark")) for i in range(len(self.shards))]
        with atomic_write(self.directory / f"{self.name}.sha256") as stream:
            stream.writelines(f"{digest}\n" for digest in digests)

    def run(
        self, make: Callable[[list[str]], Results], pending: Iterable[int] | None = None
    ) -> None:
        """Make and write the shards ``pending``, or all such, with ``make(utterances)``."""
        for index in self.pending() if pending is None else pending:
            self.write(index, make(self.shards[index]))


def _read_pairs(path: Path) -> dict[str, str]:
    """``<utt> <rest of the line>`` lines, in order."""
    return dict(map(split_line, path.read_text(encoding="utf-8").splitlines()))
