"""MLS English: 44 660 hours of audiobooks (OpenSLR 94), of which the paper uses about 20 000.

``mls_english/{train,dev,test}/transcripts.txt`` (id, text), ``segments.txt`` (id, address of the
chapter, start and end in seconds), ``audio/<speaker>/<book>/<speaker>_<book>_<number>.flac``, and
``metainfo.txt``; or ``mls_english_opus`` with ``.opus``. Licence: CC BY 4.0.

Train has 10 808 037 lines: they pass by, and only their hashes and lengths stay in memory.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

from espnet_entropy.corpora import librispeech as libri
from espnet_entropy.corpora.english_text import librispeech_form
from espnet_entropy.corpora.hours import Balance, Choice
from espnet_entropy.corpora.large_dir import Row, write_large_data_dir
from espnet_entropy.corpora.reader_tables import read_table, spk2gender
from espnet_entropy.corpora.sources import OFFERS, half_done
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.progress import progress

PAPER_HOURS = 20_000.0  # section 4.1, "about 20,000 hours"
_HOPELESS = 20_000  # failures, and more than half of what was tried: the wrong folder
_FOLDERS = {"flac": "mls_english", "opus": "mls_english_opus"}

Audio = Literal["flac", "opus"]
TextForm = Literal["librispeech", "published"]
Takes = Callable[[str, str], bool]


def prepare(
    source: Path,
    out: Path,
    hours: float | None = PAPER_HOURS,
    seed: int = 0,
    text: TextForm = "librispeech",
    librispeech: Path | None = None,
    audio: Audio | None = None,
    max_failed: float = 0.05,
) -> None:
    """Write ``<out>/{train,dev,test}``, the official dev and test whole, and ``hours`` of train.

    What cannot be used (no audio, no transcript, no text in the common form) is skipped and named
    in ``<out>/<set>/failed.txt``; damaged audio is found by the stage ``format``.

    Args:
        source: the folder that holds ``mls_english`` or ``mls_english_opus``, or one of these.
        out: where the data directories go.
        hours: of train, the same from every speaker as far as they go
            (:mod:`espnet_entropy.corpora.hours`); ``None`` is all of it.
        seed: of the choice.
        text: ``librispeech`` is LibriSpeech's form (upper case, no hyphens: see
            :func:`librispeech_form`), for models that are scored on its test sets;
            ``published`` leaves MLS's lower case as it is.
        librispeech: a LibriSpeech folder whose dev and test readers are to be kept out of train
            (both corpora number readers as LibriVox does).
        audio: which of the two, where both are there.
        max_failed: the largest tolerated share of skipped utterances of a set (0..1).

    Raises:
        ValueError: if the folder is not the corpus, there are fewer hours, or too many
            utterances are unusable.
    """
    root = find_root(source, audio)
    if root is None or lacking(source, audio=audio):
        raise ValueError(
            f"{source}: lacks mls_english{'' if audio != 'opus' else '_opus'} with train, dev and "
            "test (or only half of it was unpacked). Set MLS_EN (db.local.sh) to the folder that "
            "has it, or have it fetched: --data_opts '--download true'."
        )
    known = _test_readers(librispeech) if librispeech is not None else set()
    for split in ("dev", "test", "train"):
        folder = root / split
        log = FailureLog(f"mls_en {split}", out / split / "failed.txt", max_failed)
        takes: Takes = _everybody
        choice = None
        if split == "train":
            choice = _choose(folder, hours, seed, known) if hours is not None else None
            takes = choice.takes if choice else partial(_not_in, known)
        reading = _Reading(folder, takes, text, log)
        tables = partial(spk2gender, root / "metainfo.txt")
        count = write_large_data_dir(out / split, _judged(reading, choice), tables)
        reading.warn_of_extra()
        logging.info("%s: %d utterances", out / split, count)


def lacking(
    source: Path, audio: Audio | None = None, **_: object
) -> dict[str, tuple[Path, list[str]]]:
    """What is to be fetched: by offer, the folder that the archive goes to and its part."""
    root = find_root(source, audio)
    folder = source.parent if source.name in _FOLDERS.values() else source
    wanted = audio or ("flac" if root is not None and root.name == _FOLDERS["flac"] else "opus")
    if root is not None and not half_done("mls_en", wanted, folder):
        return {}
    assert wanted in OFFERS["mls_en"].archives
    return {"mls_en": (folder, [wanted])}


def find_root(source: Path, audio: Audio | None = None) -> Path | None:
    """The folder of train, dev and test; flac rather than opus where nothing else is said."""
    names = [_FOLDERS[audio]] if audio else list(_FOLDERS.values())
    for folder in (source, *(source / name for name in names)):
        if all(
            (folder / split / "transcripts.txt").is_file() for split in ("train", "dev", "test")
        ):
            return folder
    return None


def _judged(reading: _Reading, choice: Choice | None) -> Iterator[Row]:
    """The rows; after the last one too many failures raise, before anything is written."""
    yield from reading.rows()
    if choice is not None and reading.seen != choice.utterances:
        _name_lost(reading.folder, choice, reading.log)
    reading.log.close(total=reading.used + len(reading.log.failed))


def _everybody(speaker: str, utt: str) -> bool:
    return True


def _not_in(readers: set[str], speaker: str, utt: str) -> bool:
    return speaker not in readers


def _test_readers(folder: Path) -> set[str]:
    """LibriSpeech's readers of dev and test."""
    path = libri.find_root(folder) / "SPEAKERS.TXT"
    subset = read_table(path, column=2)
    readers = {reader for reader, part in subset.items() if part.startswith(("dev-", "test-"))}
    if not readers:
        raise ValueError(
            f"{path}: names no reader of dev or test; expected LibriSpeech's table. Give the "
            "folder that has it, or leave 'librispeech' out."
        )
    return readers


def _choose(folder: Path, hours: float, seed: int, known: set[str]) -> Choice:
    """So many hours of the lengths in ``segments.txt``, without the readers ``known``."""
    balance, left_out = Balance(seed), Counter[str]()
    for speaker, utt, seconds in _lengths(folder / "segments.txt"):
        if speaker in known:
            left_out[speaker] += 1
        else:
            balance.add(speaker, utt, seconds)
    if known:
        logging.info(
            "%s: %d readers of LibriSpeech's dev and test left out (%d utterances)",
            folder,
            len(left_out),
            left_out.total(),
        )
    choice = balance.choose(hours)
    logging.info(
        "%s: %d of %d utterances, %.2f of %.2f h, %d speakers",
        folder,
        choice.utterances,
        len(balance),
        choice.hours,
        balance.hours,
        len(choice.limits),
    )
    return choice


def _lengths(path: Path) -> Iterator[tuple[str, str, float]]:
    """Speaker, id and seconds of every good line of ``segments.txt``."""
    bad: list[int] = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            utt, _, start, end = line.split("\t")
            speaker, _, _ = utt.split("_")
            seconds = float(end) - float(start)
            if not 0.0 < seconds < 3600.0:
                raise ValueError
        except ValueError:
            bad.append(number)
            continue
        yield speaker, utt, seconds
    if bad:
        logging.warning(
            "%s: %d line(s) are not '<id> <address> <start> <end>' (separated by tabs): %s",
            path,
            len(bad),
            ", ".join(map(str, bad[:5])),
        )


def _name_lost(folder: Path, choice: Choice, log: FailureLog) -> None:
    """Name what was chosen by its length and has no transcript, or the other way round.

    A pass of its own, for it holds all chosen ids in memory and is hardly ever needed.
    """
    timed = {
        utt for speaker, utt, _ in _lengths(folder / "segments.txt") if choice.takes(speaker, utt)
    }
    untimed = 0
    for line in _lines(folder / "transcripts.txt"):
        utt = line.partition("\t")[0]
        if utt in timed:
            timed.remove(utt)
        elif choice.takes(utt.partition("_")[0], utt):
            untimed += 1
    for utt in sorted(timed):
        log.add(utt, f"{folder / 'transcripts.txt'}: no line of it, but one in segments.txt.")
    if untimed:
        logging.warning("%s: %d utterances have no line in segments.txt", folder, untimed)


class _Reading:
    """The transcripts of one split, met with the audio files."""

    def __init__(self, folder: Path, takes: Takes, form: TextForm, log: FailureLog) -> None:
        self.folder, self.takes, self.form, self.log = folder, takes, form, log
        self.seen = 0  # lines that were to be taken …
        self.used = 0  # … and could be
        self._lines: Counter[tuple[str, str]] = Counter()  # by speaker and book
        self._files: dict[tuple[str, str], int] = {}
        self._listed = lru_cache(maxsize=64)(self._list)  # lines come book by book
        if not (folder / "audio").is_dir():
            raise ValueError(f"{folder / 'audio'}: no such folder; unpack the archive again.")

    def rows(self) -> Iterator[Row]:
        """The usable utterances; the others go to the log."""
        for number, line in enumerate(_lines(self.folder / "transcripts.txt"), start=1):
            utt, tab, text = line.partition("\t")
            ids = utt.split("_")
            if len(ids) != 3 or not tab or not all(ids) or utt != utt.strip():
                where = f"{self.folder / 'transcripts.txt'}, line {number}"
                self.log.add(
                    utt.split(" ")[0] or f"line{number}", f"{where}: expected '<id> <text>'."
                )
                continue
            speaker, book = ids[0], ids[1]
            self._lines[speaker, book] += 1
            if self.takes(speaker, utt):
                self.seen += 1
                try:
                    row = Row(utt, speaker, self._audio(speaker, book, utt), self._text(text))
                except ValueError as error:
                    self.log.add(utt, error)
                else:
                    self.used += 1
                    yield row
            failed = len(self.log.failed)
            share = max(0.5, self.log.max_failed)
            if failed > _HOPELESS and failed > share * (failed + self.used):
                return  # log.close says the rest

    def warn_of_extra(self) -> None:
        """Say where there are more audio files than transcripts."""
        more = {key: n - self._lines[key] for key, n in self._files.items() if n > self._lines[key]}
        if more:
            some = ", ".join("/".join(key) for key in sorted(more)[:5])
            logging.warning(
                "%s: %d audio file(s) without transcript, in %s; ignored",
                self.folder / "audio",
                sum(more.values()),
                some,
            )

    def _audio(self, speaker: str, book: str, utt: str) -> str:
        for suffix in _FOLDERS:
            if f"{utt}.{suffix}" in self._listed(speaker, book):
                return str(self.folder / "audio" / speaker / book / f"{utt}.{suffix}")
        path = self.folder / "audio" / speaker / book / utt
        raise ValueError(f"{path}.flac (or .opus): no such file; unpack the archive again.")

    def _list(self, speaker: str, book: str) -> frozenset[str]:
        try:
            names = frozenset(os.listdir(self.folder / "audio" / speaker / book))
        except OSError:
            names = frozenset()
        self._files[speaker, book] = len(names)
        return names

    def _text(self, text: str) -> str:
        form = librispeech_form(text) if self.form == "librispeech" else " ".join(text.split())
        if not form:
            raise ValueError(f"{self.folder / 'transcripts.txt'}: its text is empty: {text!r}.")
        return form


def _lines(path: Path) -> Iterator[str]:
    """The lines of a large UTF-8 file."""
    try:
        with open(path, encoding="utf-8", newline="\n") as stream:
            for line in progress(stream, f"{path.parent.name}/{path.name}", unit="line"):
                yield line.rstrip("\r\n")
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); unpack it again.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); unpack it again.") from error
