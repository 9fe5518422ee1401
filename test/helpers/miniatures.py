"""Miniature copies of official corpus layouts, in the publishers' own details."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import soundfile
from sounds import babble

SPEAKERS = """;
; The meaning of the fields in left-to-right order is as follows:
;ID  |SEX| SUBSET           |MINUTES| NAME
19   | F | train-clean-100  | 25.19 | Kara Shallenberg
103  | F | train-clean-360  | 25.09 | Karen Savage
1034 | M | train-other-500  | 25.11 | Kevin O'Coin
84   | F | dev-clean        |  8.02 | Christie Nowak
1673 | M | dev-other        |  8.00 | Tonia
61   | M | test-clean       |  8.08 | Paul-Gabriel Wiener
1688 | M | test-other       |  8.18 | Larry Wilson
"""
PARTS = {
    "train-clean-100": "19",
    "train-clean-360": "103",
    "train-other-500": "1034",
    "dev-clean": "84",
    "dev-other": "1673",
    "test-clean": "61",
    "test-other": "1688",
}


def write_audio(path: Path, seed: int = 0, seconds: float = 1.0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".opus":
        soundfile.write(path, babble(seed, seconds), 16000, format="OGG", subtype="OPUS")
    else:
        soundfile.write(path, babble(seed, seconds), 16000, format="FLAC", subtype="PCM_16")


def librispeech(root: Path, parts: dict[str, str] = PARTS, utts: int = 3, **audio: float) -> Path:
    """Two chapters of ``utts`` utterances for every part's reader; returns ``root``."""
    top = root / "LibriSpeech"
    chapters = ["; a comment", ";ID    |READER|MINUTES| SUBSET           | PROJ.|BOOK ID| TITLE"]
    for number, (part, reader) in enumerate(parts.items()):
        for chapter in (f"{121100 + number}", f"{9 + number}"):
            chapters.append(f"{chapter:6} | {reader:5} | 8.02 | {part:16} | 106 | 2076 | Chapter")
            folder = top / part / reader / chapter
            lines = []
            for i in range(utts):
                utt = f"{reader}-{chapter}-{i:04}"
                write_audio(folder / f"{utt}.flac", seed=1000 * number + i, **audio)
                lines.append(f"{utt} IT'S NUMBER {'ABCDEFGH'[i % 8]}\n")
            (folder / f"{reader}-{chapter}.trans.txt").write_text("".join(lines))
    (top / "SPEAKERS.TXT").write_text(SPEAKERS)
    (top / "CHAPTERS.TXT").write_text("\n".join(chapters) + "\n")
    for name in ("README.TXT", "LICENSE.TXT", "BOOKS.TXT"):
        (top / name).write_text(name)
    return root


METAINFO = """ SPEAKER   |   GENDER   | PARTITION  |  MINUTES   |  BOOK ID   |   TITLE   |  CHAPTER
   4800    |     F      |   train    |   17.148   |   10003    | Rose Garden Husband | 05
   4800    |     F      |   train    |   9.3      |   10003    | Rose Garden Husband | 06
    480    |     M      |   train    |   8.123    |   12959    | Vanished Hand | CHAPTER II
     84    |     F      |   train    |   8.1      |   77       | Read by a dev reader | I
   1982    |     M      |    dev     |   1.782    |   1551     | Verses | The Cradle Tomb
  10226    |     F      |   test     |   2.316    |   10111    | Verses | Commissioned
"""
BOOKS = {
    "train": {("4800", "10003"): 6, ("480", "12959"): 4, ("84", "77"): 2},
    "dev": {("1982", "1551"): 3},
    "test": {("10226", "10111"): 3},
}


def mls(root: Path, form: str = "flac", seconds: float = 15.0, audio_seconds: float = 0.5) -> Path:
    """The layout of MLS English; ``segments.txt`` says ``seconds`` for every utterance."""
    top = root / ("mls_english" if form == "flac" else "mls_english_opus")
    for split, books in BOOKS.items():
        texts, segments = [], []
        for (speaker, book), count in books.items():
            for i in range(count):
                utt = f"{speaker}_{book}_{i:06}"
                write_audio(
                    top / split / "audio" / speaker / book / f"{utt}.{form}", i, audio_seconds
                )
                texts.append(f"{utt}\tthe wheel-chair's {'abcdefgh'[i]}\n")
                url = "http://www.archive.org/download/x/y_64kb.mp3"
                segments.append(f"{utt}\t{url}\t{401.76 + i:.2f}\t{401.76 + i + seconds:.2f}\n")
        (top / split / "transcripts.txt").write_text("".join(texts))
        (top / split / "segments.txt").write_text("".join(segments))
    (top / "metainfo.txt").write_text(METAINFO)
    return root


def archive(folder: Path, top: str, inner: str | None = None) -> bytes:
    """A .tar.gz of ``folder/top`` (of ``inner`` below it only, and its plain files)."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for path in sorted((folder / top).rglob("*")):
            name = path.relative_to(folder)
            on_top = path.parent == folder / top and path.is_file()
            if inner is None or on_top or inner in name.parts:
                tar.add(path, str(name), recursive=False)
    return packed.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tar_gz(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """An archive of whatever members."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue())
