"""The layout that most corpora have: audio files somewhere below a folder, and a table of them."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from espnet_entropy.utils.config import nearest

AUDIO = (".flac", ".wav", ".opus", ".ogg", ".mp3")  # lower case; load_audio decodes them all


def find_audio(folder: Path) -> dict[str, Path]:
    """Every audio file in the folder or below it, by its name without suffix.

    Raises:
        ValueError: if there is none, or a name occurs twice.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO and not path.name.startswith("."):
            if path.stem in found:
                raise ValueError(
                    f"{folder}: {found[path.stem]} and {path} have the same name '{path.stem}'; "
                    "expected one file of a name. Remove one, or look audio up by its whole path."
                )
            found[path.stem] = path
    if not found:
        raise ValueError(
            f"{folder}: no audio file in it or below; expected some of {', '.join(AUDIO)}. "
            "Unpack the corpus, or name the right folder in db.local.sh."
        )
    return found


def read_rows(
    path: Path, columns: Sequence[str], delimiter: str = "\t", heading: bool = True
) -> Iterator[dict[str, str]]:
    """The rows of a table, each as column name to value (white space around it removed).

    Args:
        path: the table, UTF-8. Blank lines are skipped; values may be quoted where the
            delimiter is a comma.
        columns: names that the heading must have among others; without a heading, the names of
            all columns.
        delimiter: between two values.
        heading: whether the first line names the columns.

    Raises:
        ValueError: naming file and line: unreadable, a column missing, or another number of
            values than columns.
    """
    names = None if heading else list(columns)
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(
                stream,
                delimiter=delimiter,
                quoting=csv.QUOTE_MINIMAL if delimiter == "," else csv.QUOTE_NONE,
            )
            for row in lines:
                values = [value.strip() for value in row]
                if not any(values):
                    continue
                if names is None:
                    names = _check_heading(path, values, columns)
                    continue
                if len(values) != len(names):
                    raise ValueError(
                        f"{path}, line {lines.line_num}: {len(values)} value(s); expected "
                        f"{len(names)}: {', '.join(names)}, separated by {delimiter!r}."
                    )
                yield dict(zip(names, values, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"{path}: cannot be read ({reason}); expected a UTF-8 table with the columns "
            f"{', '.join(columns)}."
        ) from error


def _check_heading(path: Path, names: list[str], columns: Sequence[str]) -> list[str]:
    for name in columns:
        if name not in names:
            raise ValueError(
                f"{path}: its first line lacks the column '{name}'; got {', '.join(names)}."
                f"{nearest(name, names)} Rename it there or where it is read."
            )
    return names
