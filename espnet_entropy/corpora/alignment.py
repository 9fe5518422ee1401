"""Time-aligned words and phones: CTM files, TextGrids, and a data directory's reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from espnet_entropy.utils.config import load_config, write_yaml
from espnet_entropy.utils.files import atomic_write
from espnet_entropy.utils.scp import is_large

TIERS = ("words", "phones")


class Interval(NamedTuple):
    """One aligned label: from ``start`` to ``end`` in seconds of its utterance."""

    start: float
    end: float
    label: str


@dataclass(frozen=True)
class AlignmentInfo:
    """What ``alignment.yaml`` says about the CTM files beside it.

    Args:
        shift_seconds: added to every time on reading (negative where the labels are late).
        source: who or what made the alignment.
        note: how far to trust it.
    """

    shift_seconds: float = 0.0
    source: str = ""
    note: str = ""


def read_ctm(path: str | Path) -> dict[str, list[Interval]]:
    """Read a CTM file, each utterance's intervals sorted by start.

    Both ``<utt> <start> <dur> <label>`` and Kaldi's ``<utt> <channel> <start> <dur> <label>
    [<confidence>]`` are understood, line by line. Zero durations are kept.

    Raises:
        ValueError: naming file and line, for a line of another shape or impossible times.
    """
    intervals: dict[str, list[Interval]] = {}
    for utt, interval in _read_intervals(Path(path)):
        intervals.setdefault(utt, []).append(interval)
    return {utt: _by_time(found) for utt, found in intervals.items()}


def stream_ctm(path: str | Path) -> Iterator[tuple[str, list[Interval]]]:
    """What :func:`read_ctm` reads, sorted by utterance.

    Of a large file that is sorted by utterance, one utterance at a time is in memory.

    Raises:
        ValueError: as :func:`read_ctm`.
    """
    path = Path(path)
    if is_large(path) and _is_sorted(path):
        for utt, lines in groupby(_read_intervals(path), key=itemgetter(0)):
            yield utt, _by_time([interval for _, interval in lines])
    else:
        yield from sorted(read_ctm(path).items())


def _is_sorted(path: Path) -> bool:
    last = ""
    for line in _read_lines(path):
        if line.strip():
            utt = line.split(None, 1)[0]
            if utt < last:
                return False
            last = utt
    return True


def _by_time(intervals: list[Interval]) -> list[Interval]:
    return sorted(intervals, key=lambda i: i[:2])


def _read_intervals(path: Path) -> Iterator[tuple[str, Interval]]:
    """Utterance and interval of each line."""
    for number, line in enumerate(_read_lines(path), start=1):
        if not line.strip():
            continue
        parts = line.split()
        first = 1 if len(parts) == 4 else 2
        try:
            if not 4 <= len(parts) <= 6:
                raise ValueError
            start, duration = float(parts[first]), float(parts[first + 1])
            if not (0.0 <= start < math.inf and 0.0 <= duration < math.inf):
                raise ValueError
        except ValueError:
            raise ValueError(
                f"{path}, line {number}: expected '<utt> [<channel>] <start> <dur> <label>' with "
                f"times in seconds, not negative; got {line.strip()!r}."
            ) from None
        # rounded, because 0.2 + 0.17 must meet the next label's 0.37
        yield parts[0], Interval(start, round(start + duration, 6), parts[first + 2])


def write_ctm(path: str | Path, intervals: Mapping[str, Sequence[Interval]]) -> None:
    """Write ``<utt> <start> <dur> <label>`` lines (seconds, 0.1 ms), sorted by utterance.

    Raises:
        ValueError: for a label that is empty or holds white space: CTM cannot carry it.
    """
    write_sorted_ctm(path, sorted(intervals.items()))


def write_sorted_ctm(
    path: str | Path, utterances: Iterable[tuple[str, Sequence[Interval]]]
) -> None:
    """As :func:`write_ctm`, of utterances with their intervals that come sorted."""
    with atomic_write(path) as stream:
        for utt, found in utterances:
            for start, end, label in found:
                if not 0.0 <= start <= end or len(label.split()) != 1:
                    raise ValueError(
                        f"{path}: {utt}: cannot write the label {label!r} from {start} s to {end} s"
                        "; expected 0 <= start <= end and a label without white space."
                    )
                stream.write(f"{utt} {start:.4f} {end - start:.4f} {label}\n")


def read_alignments(
    data_dir: str | Path, utts: Iterable[str] | None = None
) -> dict[str, dict[str, list[Interval]]]:
    """The reference of a data directory: ``ctm.words`` and ``ctm.phones``, shift applied.

    ``alignment.yaml`` (:class:`AlignmentInfo`), where present, gives the shift; what would lie
    before 0 s is cut there, and an interval that would end there is dropped.

    Args:
        data_dir: a data directory; a tier whose file is missing is left out.
        utts: keep these only; utterances without alignment are absent from the result.

    Returns:
        ``{"words": {utt: intervals}, "phones": {utt: intervals}}``, times in seconds.
    """
    data_dir = Path(data_dir)
    shift = read_alignment_info(data_dir).shift_seconds
    wanted = None if utts is None else set(utts)
    found: dict[str, dict[str, list[Interval]]] = {}
    for tier in TIERS:
        path = data_dir / f"ctm.{tier}"
        if path.is_file():
            found[tier] = {
                utt: shift_intervals(intervals, shift)
                for utt, intervals in read_ctm(path).items()
                if wanted is None or utt in wanted
            }
    return found


def read_alignment_info(data_dir: str | Path) -> AlignmentInfo:
    """``alignment.yaml`` of a data directory; shift 0 where there is none."""
    path = Path(data_dir) / "alignment.yaml"
    return load_config(AlignmentInfo, path) if path.is_file() else AlignmentInfo()


def write_alignment_info(data_dir: str | Path, info: AlignmentInfo) -> None:
    """Write ``alignment.yaml`` into a data directory."""
    write_yaml(Path(data_dir) / "alignment.yaml", info)


def shift_intervals(intervals: Sequence[Interval], seconds: float) -> list[Interval]:
    """Move ``intervals`` by ``seconds``, cutting them at 0 s.

    Example:
        >>> shift_intervals([Interval(0.0, 0.05, "a"), Interval(0.05, 0.2, "b")], -0.1)
        [Interval(start=0.0, end=0.1, label='b')]
    """
    if seconds == 0.0:
        return list(intervals)
    moved = [(round(i.start + seconds, 6), round(i.end + seconds, 6), i.label) for i in intervals]
    return [Interval(max(0.0, start), end, label) for start, end, label in moved if end > 0.0]


def read_textgrids(directory: str | Path) -> dict[str, dict[str, list[Interval]]]:
    """Read every ``*.TextGrid`` below ``directory`` (MFA's output), its stem being the utterance.

    Returns:
        ``{"words": {utt: intervals}, "phones": {utt: intervals}}``, times in seconds.

    Raises:
        ValueError: if there is no TextGrid, one is unreadable, or two have the same stem.
    """
    found: dict[str, dict[str, list[Interval]]] = {tier: {} for tier in TIERS}
    for utt, path in find_textgrids(directory).items():
        for tier, intervals in read_textgrid(path).items():
            found[tier][utt] = intervals
    return found


def find_textgrids(directory: str | Path) -> dict[str, Path]:
    """Every ``*.TextGrid`` below ``directory`` by its stem, sorted by path.

    Raises:
        ValueError: if there is none, or two have the same stem.
    """
    found: dict[str, Path] = {}
    for path in sorted(Path(directory).rglob("*.TextGrid")):
        if path.stem in found:
            raise ValueError(
                f"{path}: the same utterance as {found[path.stem]}; expected one TextGrid for each."
            )
        found[path.stem] = path
    if not found:
        raise ValueError(f"{directory}: holds no *.TextGrid file; expected the aligner's output.")
    return found


def read_textgrid(path: Path) -> dict[str, list[Interval]]:
    """Read the tiers ``words`` and ``phones`` of one TextGrid, those that it has.

    ``<speaker> - words``, as MFA names a tier where it knows the speaker, counts too; unlabelled
    stretches (silence) are left out.

    Raises:
        ValueError: naming the file, if it is unreadable or has neither tier.
    """
    from praatio import textgrid

    try:
        grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
        tiers: dict[str, list[Interval]] = {}
        for name in grid.tierNames:
            kind = name.rsplit(" - ", 1)[-1]
            if kind in TIERS:
                entries = grid.getTier(name).entries
                tiers.setdefault(kind, []).extend(Interval(*entry) for entry in entries)
    except Exception as error:  # praatio raises whatever its parser stumbles over
        raise ValueError(f"{path}: not a readable TextGrid ({error}); align it again.") from error
    if not tiers:
        raise ValueError(
            f"{path}: expected a tier 'words' or 'phones', got "
            f"{', '.join(grid.tierNames) or 'none'}; rename the tier in Praat, or align again."
        )
    return {tier: sorted(intervals) for tier, intervals in tiers.items()}


def write_textgrid(
    path: str | Path, tiers: Mapping[str, Sequence[Interval]], duration: float
) -> None:
    """Write interval tiers as a TextGrid that Praat opens; gaps become unlabelled intervals.

    Zero-length intervals, which a TextGrid cannot hold, are left out.

    Args:
        path: the file.
        tiers: tier name to intervals in seconds, sorted and not overlapping.
        duration: length of the recording in seconds.

    Raises:
        ValueError: for overlapping intervals or ones outside the recording.
    """
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', ""]
    lines += ["xmin = 0", f"xmax = {duration:.6f}", "tiers? <exists>", f"size = {len(tiers)}"]
    lines.append("item []:")
    for index, (name, intervals) in enumerate(tiers.items(), start=1):
        filled = _fill_gaps(f"{path}: tier '{name}'", intervals, duration)
        lines += [f"    item [{index}]:", '        class = "IntervalTier"']
        lines += [f"        name = {_quote(name)}", "        xmin = 0"]
        lines += [f"        xmax = {duration:.6f}", f"        intervals: size = {len(filled)}"]
        for number, (start, end, label) in enumerate(filled, start=1):
            lines += [f"        intervals [{number}]:", f"            xmin = {start:.6f}"]
            lines += [f"            xmax = {end:.6f}", f"            text = {_quote(label)}"]
    with atomic_write(path) as stream:
        stream.write("\n".join(lines) + "\n")


def _fill_gaps(where: str, intervals: Sequence[Interval], duration: float) -> list[Interval]:
    """``intervals`` with unlabelled ones between them, so that they cover the recording."""
    filled: list[Interval] = []
    last, tolerance = 0.0, 1e-6
    for start, end, label in intervals:
        if start < last - tolerance or end > duration + tolerance or start > end:
            raise ValueError(
                f"{where}: '{label}' from {start} s to {end} s overlaps the interval before it or "
                f"leaves the recording (0 s to {duration} s); expected sorted, separate intervals."
            )
        if end - start <= tolerance:
            continue
        if start > last + tolerance:
            filled.append(Interval(last, start, ""))
        filled.append(Interval(last if start <= last + tolerance else start, end, label))
        last = end
    if last < duration - tolerance:
        filled.append(Interval(last, duration, ""))
    return filled


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _read_lines(path: Path) -> Iterator[str]:
    try:
        with open(path, encoding="utf-8") as stream:
            yield from stream
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); convert it with iconv.") from error
