"""Units of a set -> training lines for ESPnet's LM task, packed to the context.

A line is ``u .. u K v .. v K w .. w`` (int32; K is ``<sos/eos>``); ESPnet puts one more
K in front and one after it, so a line has at most context - 1 entries.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldiio
import numpy as np

from espnet_entropy.entropy_lm.config import EntropyLMConfig, lm_config
from espnet_entropy.entropy_lm.dump import UnitDump, read_meta
from espnet_entropy.entropy_lm.units import check_units, run_starts
from espnet_entropy.utils.config import read_yaml, write_yaml
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.progress import progress


@dataclass(frozen=True)
class Piece:
    """Units ``start .. end-1`` of an utterance: one document of a line."""

    utterance: str
    start: int
    end: int


def cut(utterance: str, length: int, most: int) -> Iterator[Piece]:
    """Pieces of at most ``most`` units.

    Example:
        >>> [(p.start, p.end) for p in cut("a", 5, 2)]
        [(0, 2), (2, 4), (4, 5)]
    """
    for start in range(0, length, most):
        yield Piece(utterance, start, min(start + most, length))


def pack(pieces: Iterable[Piece], capacity: int) -> list[list[Piece]]:
    """Best fit: each piece joins the fullest line that has room, else opens a new one.

    Args:
        pieces: in an order that is already shuffled.
        capacity: entries of a line; a separator stands between two pieces.

    Returns:
        Lines of pieces. All lines but the last ones are nearly full.
    """
    lines: list[list[Piece]] = []
    room: list[tuple[int, int]] = []  # (free entries, line), sorted
    for piece in pieces:
        size = piece.end - piece.start
        assert size <= capacity, (piece, capacity)
        found = bisect.bisect_left(room, (size + 1, -1))
        if found < len(room):
            free, line = room.pop(found)
            lines[line].append(piece)
            left = free - size - 1
        else:
            line, left = len(lines), capacity - size
            lines.append([piece])
        if left > 1:  # a separator and one unit
            bisect.insort(room, (left, line))
    return lines


def _lengths(dump: UnitDump, dedup: bool, failures: FailureLog) -> dict[str, int]:
    """Units of each utterance that can be trained on."""
    lengths = {}
    for utterance in progress(dump.utterances, "read units"):
        try:
            units = check_units(dump.load(utterance), dump.num_clusters)
        except ValueError as error:
            failures.add(utterance, error)
            continue
        lengths[utterance] = int(run_starts(units).sum()) if dedup else len(units)
    failures.close(total=len(dump.utterances))
    return lengths


def _line(dump: UnitDump, pieces: list[Piece], dedup: bool) -> np.ndarray:
    """One packed line, int32."""
    parts: list[np.ndarray] = []
    for piece in pieces:
        units = dump.load(piece.utterance)
        if dedup:
            units = units[run_starts(units)]
        parts += [np.array([dump.num_clusters]), units[piece.start : piece.end]]
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
    lengths = _lengths(dump, dedup, failures)
    pieces = [p for utt, length in lengths.items() for p in cut(utt, length, context - 1)]
    random.Random(seed).shuffle(pieces)
    lines = pack(pieces, context - 1)
    random.Random(seed + 1).shuffle(lines)  # best fit leaves the emptiest lines together
    ark, index, shapes = out / "packed.ark", [], []
    with atomic_write(ark, "wb") as stream:
        for number, line in enumerate(progress(lines, "pack", unit="line")):
            key, packed = f"line{number:08d}", _line(dump, line, dedup)
            stream.write(f"{key} ".encode())
            index.append(f"{key} {ark}:{stream.tell()}\n")
            shapes.append(f"{key} {len(packed)}\n")
            kaldiio.matio.write_array(stream, packed)
    with atomic_write(out / "text_shape") as stream:
        stream.writelines(shapes)
    with atomic_write(out / "tokens.txt") as stream:
        stream.writelines(f"{token}\n" for token in [*range(dump.num_clusters), "<sos/eos>"])
    write_yaml(
        out / "meta.yaml",
        {
            "tokenizer": dump.meta["tokenizer"],
            "num_clusters": dump.num_clusters,
            "context": context,
            "dedup": dedup,
            "seed": seed,
            "utterances": len(lengths),
            "units": sum(lengths.values()),
        },
    )
    with atomic_write(out / "packed.scp") as stream:  # last: its presence says that all is there
        stream.writelines(index)
    return len(lines)
