"""What LibriVox corpora tell about readers: lines of ``<id> | <value> | …``."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path


def read_table(path: Path, column: int = 1) -> dict[str, str]:
    """First column (a number) to another one; ``{}`` without the file.

    ``SPEAKERS.TXT`` and ``CHAPTERS.TXT`` of LibriSpeech, ``metainfo.txt`` of MLS. Lines that do not
    begin with a number are comments or headings; the first line of a number counts.
    """
    table: dict[str, str] = {}
    if path.is_file():
        with open(path, encoding="utf-8", errors="replace") as stream:
            for line in stream:
                fields = [field.strip() for field in line.split("|")]
                if fields[0].isdigit() and len(fields) > column:
                    table.setdefault(fields[0], fields[column])
    return table


def spk2gender(path: Path, readers: Iterable[str]) -> dict[str, dict[str, str]]:
    """``{"spk2gender": {reader: "m" or "f"}}``, or ``{}`` if ``path`` does not know them all."""
    gender, names = read_table(path), sorted(set(readers))
    unknown = [reader for reader in names if gender.get(reader) not in ("M", "F")]
    if unknown:
        some = ", ".join(unknown[:5])
        logging.warning(
            "%s: no M or F of %d reader(s): %s; no spk2gender", path, len(unknown), some
        )
        return {}
    return {"spk2gender": {reader: gender[reader].lower() for reader in names}}
