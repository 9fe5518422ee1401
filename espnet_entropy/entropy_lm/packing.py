"""Units of a set -> training lines for ESPnet's LM task, packed to the context.

A line is ``u .. u K v .. v K w .. w`` (int32; K is ``<sos/eos>``); ESPnet puts one more
K in front and one after it, so a line has at most context - 1 entries.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np

from espnet_entropy.entropy_lm.config import EntropyLMConfig, lm_config
from espnet_entropy.entropy_lm.dump import UnitDump, read_meta
from espnet_entropy.entropy_lm.units import check_units, run_starts
from espnet_entropy.utils.ark import split
from espnet_entropy.utils.config import read_yaml, write_yaml
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.progress import progress


@dataclass(frozen=True)
class Places:
    """Where the units of U utterances lie, and how many there are to train on.

    Attributes:
        archives: paths.
        archive: (U,) int64, number of each utterance's path.
        offset: (U,) int64, offset in it.
        length: (U,) int64, units.
    """

    archives: list[str]
    archive: np.ndarray
    offset: np.ndarray
    length: np.ndarray


def find_units(dump: UnitDump, dedup: bool, failures: FailureLog) -> Places:
    """Look at each utterance of a dump, and list those that can be trained on."""
    archives: dict[str, int] = {}
    rows = array("q")  # archive, offset, length
    for utterance, where in progress(dump.entries.items(), "read units"):
        try:
            units = check_units(dump.load(utterance, where), dump.num_clusters)
        except ValueError as error:
            failures.add(utterance, error)
            continue
        path, offset = split(where)
        length = int(run_starts(units).sum()) if dedup else len(units)
        rows.extend((archives.setdefault(path, len(archives)), offset, length))
    failures.close(total=len(dump.entries))
    archive, offsets, lengths = np.array(rows).reshape(-1, 3).T
    return Places(list(archives), archive, offsets, lengths)


def cut(lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut utterances into pieces of at most ``most`` units.

    Args:
        lengths: (U,) units of each utterance, all positive.
        most: units of a piece.

    Returns:
        (P,) utterance of each piece and (P,) its first unit, both int64.

    Example:
        >>> [x.tolist() for x in cut(np.array([5, 2]), 2)]
        [[0, 0, 0, 1], [0, 2, 4, 0]]
    """
    counts = -(-lengths // most)
    owner = np.repeat(np.arange(len(lengths)), counts)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    return owner, (np.arange(len(owner)) - first) * most


def pack(sizes: np.ndarray, capacity: int) -> np.ndarray:
    """Best fit: each piece joins the fullest line that has room, else opens a new one.

    Of lines that are equally full it joins the first. Costs no more for a piece when there are
    many lines than when there are few.

    Args:
        sizes: (P,) units of each piece, in an order that is already shuffled.
        capacity: entries of a line; a separator stands between two pieces.

    Returns:
        (P,) int64, line of each piece. All lines but the last ones are nearly full.
    """
    assert sizes.max(initial=0) <= capacity, (sizes.max(), capacity)
    rooms: list[list[int]] = [[] for _ in range(capacity)]  # heaps of lines, by free entries
    some = 0  # bit i is set if rooms[i] has a line
    lines, count = array("q"), 0
    for begin in range(0, len(sizes), 1 << 16):
        for size in sizes[begin : begin + (1 << 16)].tolist():
            fit = some >> (size + 1)  # with a separator
            if fit:
                free = size + (fit & -fit).bit_length()  # the lowest bit that is set
                line, left = heappop(rooms[free]), free - size - 1
                if not rooms[free]:
                    some ^= 1 << free
            else:
                line, left = count, capacity - size
                count += 1
            lines.append(line)
            if left > 1:  # a separator and one unit
                heappush(rooms[left], line)
                some |= 1 << left
    return np.array(lines)


def shuffled(count: int, seed: int) -> np.ndarray:
    """0 .. ``count`` - 1, (count,) int64, as ``random.Random(seed)`` shuffles them."""
    order = array("q", range(count))
    random.Random(seed).shuffle(order)
    return np.array(order)


def plan_lines(
    lengths: np.ndarray, capacity: int, seed: int
) -> Iterator[list[tuple[int, int, int]]]:
    """Utterance, first and end unit of the pieces of each line.

    Args:
        lengths: (U,) units of each utterance.
        capacity: entries of a line.
        seed: of the order of pieces and of lines.
    """
    owner, first = cut(lengths, capacity)
    order = shuffled(len(owner), seed)
    owner, first = owner[order], first[order]
    end = np.minimum(first + capacity, lengths[owner])
    lines = pack(end - first, capacity)
    pieces = np.argsort(lines, kind="stable")  # line by line, in the order of joining
    ends = np.cumsum(np.bincount(lines))
    # best fit leaves the emptiest lines together
    for line in shuffled(len(ends), seed + 1).tolist():
        some = pieces[ends[line - 1] if line else 0 : ends[line]]
        yield list(zip(*(x[some].tolist() for x in (owner, first, end)), strict=True))


def _line(
    dump: UnitDump, places: Places, pieces: list[tuple[int, int, int]], dedup: bool
) -> np.ndarray:
    """One packed line, int32."""
    parts: list[np.ndarray] = []
    for utterance, first, end in pieces:
        where = f"{places.archives[places.archive[utterance]]}:{places.offset[utterance]}"
        units = dump.load("read again", where)
        if dedup:
            units = units[run_starts(units)]
        parts += [np.array([dump.num_clusters]), units[first:end]]
    return np.concatenate(parts[1:]).astype(np.int32)


def packing_options(
    config: str | Path | None, context: int | None = None, dedup: bool = False
) -> tuple[int, bool]:
    """Context and dedup of the lines, which are those of the LM that they are for.

    Args:
        config: ESPnet's training configuration; its ``lm_conf`` decides. ``None``: ``context``
            and ``dedup`` do.
        context: positions of the LM; ``None`` for the configuration's, or the default.
        dedup: drop repetitions of a unit.

    Raises:
        ValueError: for a bad ``lm_conf``, or if it says something else than what is given.
    """
    if config is None:
        return EntropyLMConfig.context if context is None else context, dedup
    conf = read_yaml(config).get("lm_conf")
    lm = lm_config(conf, 1, f"{config}: lm_conf")
    if context is not None and context != lm.context:
        raise ValueError(
            f"--context {context}: {config} says lm_conf: context: {lm.context}; leave --context "
            "out, or change the configuration."
        )
    if dedup and not lm.dedup:
        raise ValueError(
            f"--dedup: {config} does not say lm_conf: dedup: true; add it there, and leave "
            "--dedup out."
        )
    return lm.context, lm.dedup


def check_packed(lines: str | Path, config: EntropyLMConfig, where: str) -> dict[str, Any]:
    """``meta.yaml`` beside packed lines, which must be those of this LM.

    Args:
        lines: their ``packed.scp``.
        config: of the LM.
        where: its configuration, for the message.

    Raises:
        ValueError: if the file is missing, or the lines were packed for another ``context`` or
            ``dedup``.
    """
    path = Path(lines).parent / "meta.yaml"
    meta = read_meta(path)
    for key in ("context", "dedup"):
        packed, own = meta.get(key), getattr(config, key)
        if packed != own:
            raise ValueError(
                f"{path}: the lines were packed with {key} {packed}, but {where} says {own}; "
                "pack them for this LM: python -m espnet_entropy.bin.pack_units --config CONF"
            )
    return meta


def pack_units(
    units: str | Path,
    out: str | Path,
    context: int = 2048,
    dedup: bool = False,
    seed: int = 0,
    max_failed: float = 0.05,
) -> int:
    """Write ``packed.{ark,scp}``, ``text_shape``, ``tokens.txt`` and ``meta.yaml`` to ``out``.

    ``text_shape`` is the shape file that ESPnet's ``collect_stats`` would make; ``tokens.txt``
    is its token list: the units' numbers and ``<sos/eos>`` (no blank, no unknown).

    Args:
        units: ``dump/units/<set>``, or the ``units.scp`` in it.
        out: output directory.
        context: positions of the LM.
        dedup: drop repetitions of a unit (NOTES 7).
        seed: of the shuffle of utterances; the same list and seed give the same bytes.
        max_failed: largest tolerated share of utterances that are skipped (0..1).

    Returns:
        The number of lines.

    Raises:
        ValueError: if the units cannot be read, or the context is too small.
    """
    if context < 4 or context % 2:
        raise ValueError(f"context: expected an even number of at least 4, got {context}.")
    units = Path(units)
    out, dump = Path(out), UnitDump(units / "units.scp" if units.is_dir() else units)
    failures = FailureLog("pack_units", out / "packed.failed", max_failed)
    places = find_units(dump, dedup, failures)
    lines = 0
    with ExitStack() as stack:
        # the first one opened is the last one to appear: with packed.scp all else is there
        index, shapes, stream = (
            stack.enter_context(atomic_write(out / name, mode))
            for name, mode in (("packed.scp", "w"), ("text_shape", "w"), ("packed.ark", "wb"))
        )
        for pieces in progress(plan_lines(places.length, context - 1, seed), "pack", unit="line"):
            key, packed = f"line{lines:08d}", _line(dump, places, pieces, dedup)
            stream.write(f"{key} ".encode())
            index.write(f"{key} {out / 'packed.ark'}:{stream.tell()}\n")
            shapes.write(f"{key} {len(packed)}\n")
            kaldiio.matio.write_array(stream, packed)
            lines += 1
        # an earlier result's says where lines lie in an archive that goes away now
        (out / "packed.scp").unlink(missing_ok=True)
        with atomic_write(out / "tokens.txt") as tokens:
            tokens.writelines(f"{token}\n" for token in [*range(dump.num_clusters), "<sos/eos>"])
        write_yaml(
            out / "meta.yaml",
            {
                "tokenizer": dump.meta["tokenizer"],
                "num_clusters": dump.num_clusters,
                "context": context,
                "dedup": dedup,
                "seed": seed,
                "utterances": len(places.length),
                "units": int(places.length.sum()),
            },
        )
    return lines
