"""Data directories of millions of utterances: sorted on disk, and copied a line at a time."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import IO, NamedTuple

from espnet_entropy.corpora.alignment import (
    TIERS,
    read_alignment_info,
    stream_ctm,
    write_alignment_info,
    write_sorted_ctm,
)
from espnet_entropy.corpora.data_dir import DataDir, check_words, refuse, remove_stale
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.scp import format_line, join_tables, same_keys, write_scp

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

    In memory are one chunk of rows and, for ``spk2utt``, the ids as bytes.

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
    speakers: dict[str, bytearray] = {}
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
            speakers.setdefault(row.speaker, bytearray()).extend(f"{row.utt} ".encode())
            count, last = count + 1, row.utt
        if count == 0:
            raise ValueError(f"{path}: no utterances to write; check the source and the options.")
        files = tables(speakers)
        remove_stale(path, {"text", "spk2utt", *files})
        _write_spk2utt(path, speakers)
        for name, table in files.items():
            write_scp(path / name, table)
    return count


def _write_spk2utt(path: Path, speakers: Mapping[str, bytearray]) -> None:
    """Of each speaker's ids, a space behind each."""
    with atomic_write(path / "spk2utt") as stream:
        for name in sorted(speakers):
            stream.write(format_line(name, speakers[name].decode()))


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


def copy_tables(data: DataDir, out: str | Path, without: Collection[str]) -> int:
    """Write all files of a data directory but ``wav.scp`` and ``segments``.

    They are what :func:`espnet_entropy.corpora.data_dir.write_data_dir` makes of the same
    utterances. In memory are, for ``spk2utt``, the ids as bytes; and an alignment that is not
    sorted.

    Args:
        data: what to copy.
        out: the other directory; optional files of an earlier one are removed.
        without: utterances of ``data`` to leave out.

    Returns:
        Number of utterances.

    Raises:
        ValueError: for no utterance, an id or a speaker that is not one word, or a text that only
            some have.
    """
    out = Path(out)
    count = len(data.utt2spk) - len(without)
    if count == 0:
        raise ValueError(f"{out}: no utterances to write; check the source and the options.")
    named = {f"text.{suffix}" if suffix else "text": table for suffix, table in data.texts.items()}
    texts = {
        name: table for name, table in named.items() if _is_whole(out, name, table, data, without)
    }
    speakers: dict[str, bytearray] = {}
    with atomic_write(out / "utt2spk") as stream:
        for utt, speaker in data.utt2spk.items():
            if utt not in without:
                check_words(out, utt, speaker)
                stream.write(format_line(utt, speaker))
                speakers.setdefault(speaker, bytearray()).extend(f"{utt} ".encode())
    _write_spk2utt(out, speakers)
    for name, values in data.speakers.items():
        write_scp(out / name, {key: value for key, value in values.items() if key in speakers})
    for name, table in texts.items():
        with atomic_write(out / name) as stream:
            for utt, _, text in join_tables(data.utt2spk, table):
                if utt not in without:
                    assert text is not None, (name, utt)
                    stream.write(format_line(utt, " ".join(text.split())))
    files = {"spk2utt", *data.speakers, *texts}
    tiers = [f"ctm.{tier}" for tier in TIERS]
    files.update(name for name in tiers if _copy_ctm(data, out, name, without))
    if (data.path / "alignment.yaml").is_file():
        write_alignment_info(out, read_alignment_info(data.path))
        files.add("alignment.yaml")
    remove_stale(out, files)
    return count


def _is_whole(
    out: Path, name: str, table: Mapping[str, str], data: DataDir, without: Collection[str]
) -> bool:
    """Whether all utterances have a text; ``False`` if none has."""
    if same_keys(table, data.utt2spk):
        return True
    rows = join_tables(data.utt2spk, table)
    lost = [utt for utt, _, text in rows if text is None and utt not in without]
    if len(lost) == len(data.utt2spk) - len(without):
        return False
    refuse(out, lost, f"have no '{name}' though others have")
    return True


def _copy_ctm(data: DataDir, out: Path, name: str, without: Collection[str]) -> bool:
    """Whether there is an alignment of utterances that are kept; if so, it is written."""
    source = data.path / name
    rows = stream_ctm(source) if source.is_file() else iter(())
    kept = (row for row in rows if row[0] in data.utt2spk and row[0] not in without)
    first = next(kept, None)
    if first is not None:
        write_sorted_ctm(out / name, chain([first], kept))
    return first is not None
