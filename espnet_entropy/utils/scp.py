"""Tables of ``<key> <rest of the line>``: ``wav.scp``, ``utt2spk``, ``utt2num_samples``, …"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from espnet_entropy.utils.files import atomic_write


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
        key, _, value = line.strip().replace("\t", " ", 1).partition(" ")
        if not key:
            problems.append(f"{path}, line {number}: blank; remove it.")
        elif key in table:
            problems.append(
                f"{path}, line {number}: '{key}' occurs twice; expected it once. Rename or remove "
                "one of them."
            )
        else:
            table[key] = value.strip()
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


def write_scp(path: str | Path, table: Mapping[str, object]) -> None:
    """Write ``<key> <value>`` lines sorted by key, atomically."""
    with atomic_write(path) as stream:
        stream.writelines(f"{key} {value}".rstrip() + "\n" for key, value in sorted(table.items()))


def read_num_samples(directory: str | Path) -> dict[str, int]:
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
    lengths: dict[str, int] = {}
    for utt, value in read_scp(path).items():
        if not (value.isascii() and value.isdigit()):
            raise ValueError(
                f"{path}: {utt}: expected a number of samples, got '{value}'. Run the stage that "
                "makes this directory again."
            )
        lengths[utt] = int(value)
    return lengths
