"""Tables of ``<key> <rest of the line>``: ``wav.scp``, ``utt2spk``, ``utt2num_samples``, …"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from espnet_entropy.utils.files import atomic_write

if TYPE_CHECKING:
    from espnet_entropy.utils.table_scan import Values

LARGE = 16 << 20  # bytes of a file that is left on disk: a dict of it would take some 80 MB
S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True)
class Check:
    """What is asked of each value of a table.

    Attributes:
        slow: called with key and value; raises ``ValueError`` for one that it refuses.
        fast: the same for many lines at once, (n,) bool: ``True`` where ``slow`` would surely
            accept the value. ``None`` if only ``slow`` can tell.
    """

    slow: Callable[[str, str], object]
    fast: Callable[[Values], Any] | None = None


def split_line(line: str) -> tuple[str, str]:
    """Key and value of a line: the one rule of the format.

    Example:
        >>> split_line("utt1\\tA  B \\r")
        ('utt1', 'A  B')
    """
    key, _, value = line.strip().replace("\t", " ", 1).partition(" ")
    return key, value.strip()


def scan(path: str | Path, allow_empty: bool = False) -> tuple[dict[str, str], list[str]]:
    """Read ``<key> <rest of the line>`` lines together with what is wrong with them.

    Returns:
        The table in file order (first occurrence of a key), and one message per defect.
    """
    path = Path(path)
    try:
        content = path.read_bytes().decode("utf-8")
    except OSError as error:
        return {}, [f"{path}: cannot be read ({error.strerror}); expected '<id> <value>' lines."]
    except UnicodeDecodeError as error:
        return {}, [f"{path}: not UTF-8 (byte {error.start}); convert it with iconv."]
    table: dict[str, str] = {}
    problems: list[str] = []
    lines = content.split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        key, value = split_line(line)
        if not key:
            problems.append(f"{path}, line {number}: blank; remove it.")
        elif key in table:
            problems.append(
                f"{path}, line {number}: '{key}' occurs twice; expected it once. Rename or remove "
                "one of them."
            )
        else:
            table[key] = value
            if not table[key] and not allow_empty:
                problems.append(f"{path}, line {number}: '{key}' has no value; expected one.")
    return table, problems


def read_scp(path: str | Path, allow_empty: bool = False) -> dict[str, str]:
    """Read ``<key> <rest of the line>`` lines (``wav.scp``, ``utt2spk``, …) in file order.

    Args:
        path: the file, UTF-8.
        allow_empty: accept a key alone (an empty text).

    Raises:
        ValueError: naming file and line: unreadable, not UTF-8, blank line, key twice, no value.
    """
    table, problems = scan(path, allow_empty)
    if problems:
        raise ValueError(problems[0])
    return table


def is_large(path: Path) -> bool:
    """Whether a file is one that is left on disk."""
    return path.is_file() and path.stat().st_size >= LARGE


def read_table(
    path: str | Path, allow_empty: bool = False, check: Check | None = None
) -> Mapping[str, str]:
    """What :func:`read_scp` reads, in file order; a large file stays on disk.

    Args:
        path: the file, UTF-8.
        allow_empty: accept a key alone (an empty text).
        check: what else is asked of each value.

    Raises:
        ValueError: as :func:`read_scp`, or what ``check`` says of the first value it refuses.
    """
    path = Path(path)
    if is_large(path):
        from espnet_entropy.utils.table import Table  # needs numpy

        return Table(path, allow_empty, check)
    table = read_scp(path, allow_empty)
    if check is not None:
        for key, value in table.items():
            check.slow(key, value)
    return table


def convert_table(table: Mapping[str, S], convert: Callable[[str, S], T]) -> Mapping[str, T]:
    """Values made from key and value: at once for a dict, when asked for if they are on disk."""
    if isinstance(table, dict):
        return {key: convert(key, value) for key, value in table.items()}
    from espnet_entropy.utils.table import Converted  # needs numpy

    return Converted(table, convert)


def same_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two tables have the same keys in the same order."""
    digests = [getattr(table, "digest", None) for table in (one, other)]
    if None not in digests:
        return digests[0] == digests[1]
    return len(one) == len(other) and all(a == b for a, b in zip(one, other, strict=True))


def in_order(table: Mapping[str, T], where: str | Path) -> Mapping[str, T]:
    """The table sorted by key; held in memory if it is not sorted on disk.

    Args:
        table: any.
        where: its file or directory, for the message.
    """
    if getattr(table, "sorted", False):
        return table
    if not isinstance(table, dict):
        logging.warning(
            "%s: %d lines are held in memory, since they are not sorted; LC_ALL=C sort them.",
            where,
            len(table),
        )
        table = dict(table.items())
    return {key: table[key] for key in sorted(table)}


def join_tables(one: Mapping[str, S], other: Mapping[str, T]) -> Iterator[tuple[str, S, T | None]]:
    """Each key of ``one`` with its values in both, ``None`` where the other lacks it.

    Sorted tables on disk are read side by side; nothing is looked up.
    """
    if not (getattr(one, "sorted", False) and getattr(other, "sorted", False)):
        for key, mine in one.items():
            yield key, mine, other.get(key)
        return
    theirs = iter(other.items())
    found = next(theirs, None)
    for key, mine in one.items():
        while found is not None and found[0] < key:
            found = next(theirs, None)
        yield key, mine, found[1] if found is not None and found[0] == key else None


def format_line(key: str, value: object) -> str:
    """A line, with its end."""
    return f"{key} {value}".rstrip() + "\n"


def write_scp(path: str | Path, table: Mapping[str, object]) -> None:
    """Write ``<key> <value>`` lines sorted by key, atomically."""
    with atomic_write(path) as stream:
        stream.writelines(format_line(key, value) for key, value in in_order(table, path).items())


def write_part(path: str | Path, keys: Mapping[str, object], table: Mapping[str, object]) -> None:
    """As :func:`write_scp`, the lines of a table whose keys are among others.

    Args:
        path: the file.
        keys: whose keys are wanted; the table has all of them.
        table: with the values.

    Raises:
        ValueError: naming a key that the table lacks.
    """
    with atomic_write(path) as stream:
        for key, _, value in join_tables(in_order(keys, path), table):
            if value is None:
                raise ValueError(f"{path}: nothing is known of '{key}'; make its stage anew.")
            stream.write(format_line(key, value))


def read_num_samples(directory: str | Path) -> Mapping[str, int]:
    """``utt2num_samples`` of a directory: samples at 16 kHz of each utterance.

    Raises:
        ValueError: if the file is missing or a line is not ``<utt> <whole number>``.
    """
    path = Path(directory) / "utt2num_samples"
    if not path.is_file():
        raise ValueError(
            f"{path}: no such file; it says how much audio each utterance is. Run stage 'format' "
            "first (for units or scores: the stage that makes them)."
        )

    def slow(utt: str, value: str) -> None:
        if not (value.isascii() and value.isdigit()):
            raise ValueError(
                f"{path}: {utt}: expected a number of samples, got '{value}'. Run the stage that "
                "makes this directory again."
            )

    def fast(values: Values) -> Any:
        return values.digits() == values.last - values.first + 1

    return convert_table(read_table(path, check=Check(slow, fast)), _whole)


def _whole(_: str, value: str) -> int:
    return int(value)
