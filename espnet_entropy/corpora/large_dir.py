"""A data directory of millions of utterances, written from a stream and sorted on disk."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import IO, NamedTuple

from espnet_entropy.corpora.data_dir import remove_stale
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.scp import write_scp

CHUNK = 200_000  # rows in memory at a time, about 100 MB

Tables = Callable[[Iterable[str]], Mapping[str, Mapping[str, str]]]


class Row(NamedTuple):
    """One utterance: its id, speaker, audio file and text, none of them with a tab."""

    utt: str
    speaker: str
    wav: str
    text: str


def write_large_data_dir(
    path: str | Path, rows: Iterable[Row], tables: Tables, chunk: int = CHUNK
) -> int:
    """Write ``wav.scp``, ``text``, ``utt2spk``, ``spk2utt`` and ``spk2<what>``, sorted by id.

    In memory are one chunk of rows and, for ``spk2utt``, the ids (about 100 bytes each).

    Args:
        path: the directory.
        rows: utterances in any order.
        tables: called with the speakers: the ``spk2<what>`` files by name.
        chunk: rows sorted at a time.

    Returns:
        Number of utterances.

    Raises:
        ValueError: for no utterance, or an id that occurs twice.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    speakers: dict[str, list[str]] = {}
    count, last = 0, ""
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(dir=path, prefix=".sort."))
        # the first one opened is the last one to appear: with wav.scp all else is there
        wav, text, utt2spk = (
            stack.enter_context(atomic_write(path / name))
            for name in ("wav.scp", "text", "utt2spk")
        )
        for row in sorted_on_disk(rows, Path(temporary), chunk):
            if row.utt == last:
                raise ValueError(
                    f"{path}: utterance '{row.utt}' occurs twice; expected unique ids."
                )
            wav.write(f"{row.utt} {row.wav}\n")
            text.write(f"{row.utt} {row.text}\n")
            utt2spk.write(f"{row.utt} {row.speaker}\n")
            speakers.setdefault(row.speaker, []).append(row.utt)
            count, last = count + 1, row.utt
        if count == 0:
            raise ValueError(f"{path}: no utterances to write; check the source and the options.")
        files = tables(speakers)
        remove_stale(path, {"text", "spk2utt", *files})
        write_scp(path / "spk2utt", {name: " ".join(utts) for name, utts in speakers.items()})
        for name, table in files.items():
            write_scp(path / name, table)
    return count


def sorted_on_disk(rows: Iterable[Row], folder: Path, chunk: int = CHUNK) -> Iterator[Row]:
    """``rows`` sorted by id, of which no more than ``chunk`` are in memory.

    Args:
        rows: any number.
        folder: for sorted pieces of them.
        chunk: rows per piece.
    """
    source = iter(rows)
    pieces: list[Path] = []
    while part := sorted(islice(source, chunk)):
        pieces.append(folder / f"{len(pieces)}.tsv")
        with open(pieces[-1], "w", encoding="utf-8") as stream:
            stream.writelines("\t".join(row) + "\n" for row in part)
    with ExitStack() as stack:
        streams = [stack.enter_context(open(piece, encoding="utf-8")) for piece in pieces]
        yield from heapq.merge(*map(_read_rows, streams))


def _read_rows(stream: IO[str]) -> Iterator[Row]:
    for line in stream:
        yield Row(*line.rstrip("\n").split("\t"))
