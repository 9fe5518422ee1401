"""Where corpora can be had: their archives, mirrors and lists of checksums."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from espnet_entropy.corpora.download import (
    PATIENCE,
    Patience,
    download,
    fetch_text,
    parse_md5sums,
)
from espnet_entropy.corpora.unpack import unpack, unpacked
from espnet_entropy.utils.config import check_choice


@dataclass(frozen=True)
class Offer:
    """What a publisher offers of a corpus.

    Args:
        url: the folder of the archives; mirrors have the same names.
        md5sums: the publisher's list of checksums in that folder.
        archives: part to archive.
        tops: part to the one folder that its archive holds.
        default: the parts to fetch if nothing is said.
        note: what to know before.
    """

    url: str
    md5sums: str
    archives: dict[str, str]
    tops: dict[str, str]
    default: tuple[str, ...]
    note: str = ""


def _librispeech(url: str, parts: Iterable[str]) -> Offer:
    names = tuple(parts)
    archives = {part: f"{part}.tar.gz" for part in names}
    return Offer(url, "md5sum.txt", archives, dict.fromkeys(names, "LibriSpeech"), names)


LIBRISPEECH_PARTS = (
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
)
OFFERS = {
    "librispeech": _librispeech("https://www.openslr.org/resources/12", LIBRISPEECH_PARTS),
    "mini_librispeech": _librispeech(
        "https://www.openslr.org/resources/31", ("train-clean-5", "dev-clean-2")
    ),
    "mls_en": Offer(
        "https://dl.fbaipublicfiles.com/mls",
        "md5sum.txt",
        {"opus": "mls_english_opus.tar.gz", "flac": "mls_english.tar.gz"},
        {"opus": "mls_english_opus", "flac": "mls_english"},
        ("opus",),
        "the archive is 651 GB (opus) or 2.4 TB (flac), and what it holds needs as much again",
    ),
}


def fetch_corpus(
    name: str,
    out: str | Path,
    parts: Iterable[str] = (),
    url: str | None = None,
    keep_archives: bool = True,
    patience: Patience = PATIENCE,
) -> None:
    """Fetch, check and unpack the parts of a corpus that are not there yet.

    The checksums are the publisher's, read at run time; an archive that the list does not name
    is fetched unchecked, and the log says so.

    Args:
        name: a key of :data:`OFFERS`.
        out: the corpus folder; archives go to ``<out>/downloads``.
        parts: which parts; the offer's default if empty.
        url: a mirror: a folder with archives and checksums of the same names.
        keep_archives: leave the archives there once they are unpacked.
        patience: attempts and time limits of the downloads.

    Raises:
        ValueError: for an unknown corpus or part, or whatever stops download or unpacking.
    """
    offer, out = OFFERS[check_choice(name, OFFERS, "corpus to download")], Path(out)
    wanted = list(dict.fromkeys(parts)) or list(offer.default)
    for part in wanted:
        check_choice(part, offer.archives, "part", name)
    missing = [p for p in wanted if unpacked(_archive(offer, p, out), out) is None]
    if not missing:
        logging.info("%s: %s are all in %s", name, ", ".join(wanted), out)
        return
    if offer.note:
        logging.info("%s: %s", name, offer.note)
    folder = (url or offer.url).rstrip("/")
    checksums = parse_md5sums(fetch_text(f"{folder}/{offer.md5sums}", patience))
    for part in missing:
        archive = _archive(offer, part, out)
        md5 = checksums.get(archive.name)
        if md5 is None:
            logging.warning(
                "%s: %s gives no MD5 for it: fetched unchecked", archive.name, offer.md5sums
            )
        download(f"{folder}/{archive.name}", archive, md5, patience)
        files = unpack(archive, out, offer.tops[part])
        logging.info("%s: %d files of %s", out, files, part)
        if not keep_archives:
            archive.unlink()


def half_done(name: str, part: str, out: Path) -> bool:
    """Whether a download of the part into ``out`` was begun, and not all of it is unpacked."""
    archive = _archive(OFFERS[name], part, out)
    begun = archive.exists() or archive.with_name(archive.name + ".part").exists()
    return begun and unpacked(archive, out) is None


def _archive(offer: Offer, part: str, out: Path) -> Path:
    return out / "downloads" / offer.archives[part]
