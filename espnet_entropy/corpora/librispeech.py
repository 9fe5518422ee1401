"""LibriSpeech: 982 hours of audiobooks (OpenSLR 12), and mini LibriSpeech (OpenSLR 31).

``LibriSpeech/<part>/<reader>/<chapter>/<reader>-<chapter>-<number>.flac``, beside them
``<reader>-<chapter>.trans.txt``; on top ``SPEAKERS.TXT`` and ``CHAPTERS.TXT``. Licence: CC BY 4.0.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from espnet_entropy.corpora.data_dir import Utterance, write_data_dir
from espnet_entropy.corpora.reader_tables import read_table, spk2gender
from espnet_entropy.corpora.sources import LIBRISPEECH_PARTS, OFFERS, half_done
from espnet_entropy.utils.config import check_choice
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import scan

TRAIN_PARTS = LIBRISPEECH_PARTS[:3]
KNOWN_PARTS = (*LIBRISPEECH_PARTS, *OFFERS["mini_librispeech"].archives)
ALL_PARTS = ",".join(LIBRISPEECH_PARTS)


def prepare(source: Path, out: Path, parts: str = ALL_PARTS, max_failed: float = 0.05) -> None:
    """Write ``<out>/<part>`` for every part, and ``<out>/train_960`` if all of train is there.

    A part's set has its name with ``_`` for ``-``: ``train_clean_100``, ``dev_other``. Speakers
    are the readers, with ``spk2gender``; ``text`` is as published (upper case, apostrophes).
    An utterance without transcript or without audio is skipped and named in
    ``<out>/<set>/failed.txt``; damaged audio is found by the stage that decodes it all
    (``format``).

    Args:
        source: the folder that holds ``LibriSpeech``, or that folder itself.
        out: where the data directories go.
        parts: which parts, separated by commas; mini LibriSpeech has ``train-clean-5`` and
            ``dev-clean-2``.
        max_failed: the largest tolerated share of skipped utterances of a part (0..1).

    Raises:
        ValueError: for an unknown or missing part, or if too many utterances are unusable.
    """
    names = split_parts(parts)
    root = find_root(source)
    missing = [part for found in lacking(source, parts).values() for part in found[1]]
    if missing:
        raise ValueError(
            f"{root}: lacks {', '.join(missing)} of LibriSpeech (or only half of it was unpacked). "
            "Set LIBRISPEECH (db.local.sh) to the folder that has it; or take other parts: "
            "--data_opts '--option parts=dev-clean,test-clean'; or have it fetched: --data_opts "
            "'--download true'."
        )
    readers = root / "SPEAKERS.TXT"
    train: list[Utterance] = []
    for part in names:
        log = FailureLog(f"librispeech {part}", out / set_name(part) / "failed.txt", max_failed)
        utts = list(_read_part(root, part, log))
        log.close(total=len(utts) + len(log.failed))
        write_data_dir(
            out / set_name(part), utts, spk2gender(readers, (utt.speaker for utt in utts))
        )
        logging.info("%s: %d utterances", out / set_name(part), len(utts))
        if part in TRAIN_PARTS:
            train += utts
    if set(TRAIN_PARTS) <= set(names):
        write_data_dir(
            out / "train_960", train, spk2gender(readers, (utt.speaker for utt in train))
        )
        logging.info("%s: %d utterances", out / "train_960", len(train))


def lacking(
    source: Path, parts: str = ALL_PARTS, max_failed: float = 0.0
) -> dict[str, tuple[Path, list[str]]]:
    """What is to be fetched: by offer, the folder that the archives go to and their parts."""
    root = find_root(source)
    folder = source.parent if source.name == "LibriSpeech" else source
    found: dict[str, tuple[Path, list[str]]] = {}
    for part in split_parts(parts):
        offer = "librispeech" if part in LIBRISPEECH_PARTS else "mini_librispeech"
        if not (root / part).is_dir() or half_done(offer, part, folder):
            found.setdefault(offer, (folder, []))[1].append(part)
    return found


def find_root(source: Path) -> Path:
    """The folder of the parts: ``source`` itself if it has one, otherwise its ``LibriSpeech``."""
    has_part = any((source / part).is_dir() for part in KNOWN_PARTS)
    return source if has_part or source.name == "LibriSpeech" else source / "LibriSpeech"


def split_parts(parts: str) -> list[str]:
    """``"dev-clean,test-clean"`` as a list of known parts.

    Raises:
        ValueError: for an unknown part, or none.
    """
    names = [part.strip() for part in parts.split(",") if part.strip()]
    if not names:
        raise ValueError(f"parts: got {parts!r}; expected some of {', '.join(KNOWN_PARTS)}.")
    return [check_choice(part, KNOWN_PARTS, "part of LibriSpeech") for part in dict.fromkeys(names)]


def set_name(part: str) -> str:
    """The data directory of a part."""
    return part.replace("-", "_")


def _read_part(root: Path, part: str, log: FailureLog) -> Iterator[Utterance]:
    """The usable utterances of a part; the others go to ``log``."""
    chapters = [
        chapter
        for reader in _folders(root / part)
        for chapter in _folders(reader)
        if reader.name.isdigit() and chapter.name.isdigit()
    ]
    subset = read_table(root / "CHAPTERS.TXT", column=3)
    absent = {chapter for chapter, name in subset.items() if name == part}
    absent -= {chapter.name for chapter in chapters}
    if absent:
        some = ", ".join(sorted(absent)[:5])
        logging.warning("%s: %d chapter(s) missing: %s", root / part, len(absent), some)
    for chapter in progress(chapters, f"read {part}", unit="chapter"):
        yield from _read_chapter(chapter, log)


def _read_chapter(folder: Path, log: FailureLog) -> Iterator[Utterance]:
    reader = folder.parent.name
    stem = f"{reader}-{folder.name}"
    transcript = folder / f"{stem}.trans.txt"
    texts, problems = scan(transcript)
    with os.scandir(folder) as entries:
        files = {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    audio = {name[:-5]: size for name, size in files.items() if name.endswith(".flac")}
    for name in sorted(set(files) - {f"{utt}.flac" for utt in audio} - {transcript.name}):
        logging.warning("%s: not part of the corpus; ignored", folder / name)
    for problem in problems if transcript.name in files else []:
        logging.warning("%s", problem)
    for utt in sorted({*audio, *texts}):
        wav = folder / f"{utt}.flac"
        if not utt.startswith(f"{stem}-"):
            log.add(utt, f"{wav}: expected a name that begins with '{stem}-'; it was moved here.")
        elif utt not in audio:
            log.add(utt, f"{wav}: no such file, but a line in {transcript.name}; unpack it again.")
        elif not texts.get(utt):
            log.add(utt, f"{transcript}: no text of it, but {wav.name} is there; unpack it again.")
        elif audio[utt] == 0:
            log.add(utt, f"{wav}: an empty file (0 bytes); unpack it again.")
        else:
            yield Utterance(utt, str(wav), reader, texts[utt])


def _folders(path: Path) -> list[Path]:
    return sorted(entry for entry in path.iterdir() if entry.is_dir())
