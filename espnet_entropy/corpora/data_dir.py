"""Kaldi/ESPnet data directories: the one form in which every corpus meets the toolkit.

``wav.scp``, ``utt2spk``, ``spk2utt``; optionally ``text``, ``text.<suffix>`` (translations, phone
strings), ``spk2<what>``, ``ctm.words`` and ``ctm.phones`` (with ``alignment.yaml``), and Kaldi's
``segments``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from espnet_entropy.corpora.alignment import (
    TIERS,
    AlignmentInfo,
    Interval,
    read_ctm,
    write_alignment_info,
    write_ctm,
)
from espnet_entropy.utils.scp import (
    Check,
    convert_table,
    in_order,
    join_tables,
    read_scp,
    read_table,
    same_keys,
    write_scp,
)

if TYPE_CHECKING:
    import numpy as np

    from espnet_entropy.utils.table_scan import Values


PHONES = "phones"  # suffix of the text that holds phone strings; empty where they are not known


class Segment(NamedTuple):
    """A line of Kaldi's ``segments``: a part of a recording, in seconds."""

    recording: str
    start: float
    end: float


@dataclass(frozen=True)
class Utterance:
    """What a corpus knows about one utterance.

    Args:
        utt: its id, without white space, beginning with the speaker's (the custom of ESPnet).
        wav: path of its audio file; relative ones are meant from the recipe directory.
        speaker: speaker id.
        text: what was said, or ``None``.
        texts: further texts by suffix: ``{"fr": …}`` becomes ``text.fr``.
        words: aligned words, seconds, or ``None``.
        phones: aligned phones, seconds, or ``None``.
    """

    utt: str
    wav: str
    speaker: str
    text: str | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    words: list[Interval] | None = None
    phones: list[Interval] | None = None


@dataclass(frozen=True)
class DataDir:
    """A data directory; every table is keyed by utterance id, in sorted order.

    Large tables stay on disk (:func:`espnet_entropy.utils.scp.read_table`).

    Args:
        path: the directory.
        wavs: audio file of each utterance (of its recording, where there are segments).
        utt2spk: speaker of each utterance.
        texts: by suffix, ``""`` being ``text`` itself, then by utterance.
        segments: the part of the file that an utterance is; empty without ``segments``.
        speakers: ``spk2<what>`` tables other than ``spk2utt``, by file name, then by speaker.
    """

    path: Path
    wavs: Mapping[str, str]
    utt2spk: Mapping[str, str]
    texts: dict[str, Mapping[str, str]]
    segments: Mapping[str, Segment] = field(default_factory=dict)
    speakers: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | Path, base: str | Path | None = None) -> DataDir:
        """Read a data directory.

        Args:
            path: the directory.
            base: where relative audio paths start; the current directory by default.

        Raises:
            ValueError: for a missing or malformed file, or an utterance without speaker or audio.
        """
        path = Path(path)
        if not path.is_dir():
            raise ValueError(f"{path}: no such data directory; check the path or run stage 'data'.")
        plain = Check(partial(_plain_path, path), _are_plain_paths)
        wavs = read_table(path / "wav.scp", check=plain)
        if base is not None:
            wavs = convert_table(wavs, partial(_from, base))
        segments = read_segments(path / "segments") if (path / "segments").is_file() else {}
        if segments:
            lost = [utt for utt, segment in segments.items() if segment.recording not in wavs]
            refuse(path, lost, "in 'segments' name a recording that 'wav.scp' lacks")
            wavs = convert_table(segments, partial(_recording, wavs))
        wavs = in_order(wavs, path)
        utt2spk = read_table(path / "utt2spk")
        if not same_keys(wavs, utt2spk):
            lost = [utt for utt, _, speaker in join_tables(wavs, utt2spk) if speaker is None]
            refuse(path, lost, "have no speaker in 'utt2spk'")
            utt2spk = convert_table(wavs, partial(_look_up, utt2spk))
        return cls(
            path=path,
            wavs=wavs,
            utt2spk=utt2spk,
            texts={
                file.name[5:]: read_table(file, allow_empty=True)
                for file in sorted(path.glob("text*"))
                if is_text(file)
            },
            segments=segments,
            speakers={
                file.name: read_scp(file)
                for file in sorted(path.glob("spk2*"))
                if file.name != "spk2utt"
            },
        )

    def load_audio(self, utt: str, max_seconds: float | None = None) -> np.ndarray:
        """(T,) float32, 16 kHz, mono: see :func:`espnet_entropy.corpora.audio.load_audio`."""
        from espnet_entropy.corpora.audio import MAX_SECONDS, load_audio

        limit = MAX_SECONDS if max_seconds is None else max_seconds
        if utt not in self.segments:
            return load_audio(self.wavs[utt], limit)
        _, start, end = self.segments[utt]
        return load_audio(self.wavs[utt], limit, start, end)

    def utterances(self) -> Iterator[Utterance]:
        """Every utterance with its texts and its alignments as they stand (shift not applied)."""
        if self.segments:
            raise ValueError(f"{self.path}: has 'segments'; run stage 'format' first to cut them.")
        tiers = {tier: self.path / f"ctm.{tier}" for tier in TIERS}
        aligned = {tier: read_ctm(file) for tier, file in tiers.items() if file.is_file()}
        for utt, wav in self.wavs.items():
            texts = {suffix: table[utt] for suffix, table in self.texts.items() if utt in table}
            yield Utterance(
                utt=utt,
                wav=wav,
                speaker=self.utt2spk[utt],
                text=texts.pop("", None),
                texts=texts,
                words=aligned.get("words", {}).get(utt),
                phones=aligned.get("phones", {}).get(utt),
            )


def read_segments(path: str | Path) -> Mapping[str, Segment]:
    """Read Kaldi's ``segments``: ``<utt> <recording> <start> <end>``, seconds.

    Raises:
        ValueError: naming file and utterance, for another shape or ``end <= start``.
    """
    parse = partial(parse_segment, path)
    return convert_table(read_table(path, check=Check(parse)), parse)


def parse_segment(path: str | Path, utt: str, value: str) -> Segment:
    """One line of ``segments`` after the id.

    Raises:
        ValueError: for another shape or impossible times.
    """
    parts = value.split()
    try:
        recording, start, end = parts[0], float(parts[1]), float(parts[2])
        if len(parts) != 3 or not 0.0 <= start < end < float("inf"):
            raise ValueError
    except (ValueError, IndexError):
        raise ValueError(
            f"{path}: {utt}: expected '<recording> <start> <end>' in seconds with "
            f"0 <= start < end, got {value!r}."
        ) from None
    return Segment(recording, start, end)


def is_text(file: Path) -> bool:
    """Whether a file of a data directory is ``text`` or ``text.<suffix>``."""
    return file.name == "text" or (file.name.startswith("text.") and len(file.name) > 5)


def write_data_dir(
    path: str | Path,
    utts: Iterable[Utterance],
    speakers: Mapping[str, Mapping[str, str]] | None = None,
    alignment: AlignmentInfo | None = None,
) -> None:
    """Write a data directory, sorted by utterance id; files of an earlier one are replaced.

    Args:
        path: the directory.
        utts: the utterances, in any order. Each text must be there for all or for none.
        speakers: ``spk2<what>`` tables by file name; speakers without utterance are left out.
        alignment: what to say in ``alignment.yaml``.

    Raises:
        ValueError: for no utterance, an id twice or with white space, no audio path, or a text
            that only some have.
    """
    path = Path(path)
    table: dict[str, Utterance] = {}
    for utt in utts:
        if utt.utt in table:
            raise ValueError(f"{path}: utterance '{utt.utt}' occurs twice; expected unique ids.")
        check_words(path, utt.utt, utt.speaker)
        _plain_path(path, utt.utt, utt.wav)
        table[utt.utt] = utt
    if not table:
        raise ValueError(f"{path}: no utterances to write; check the source and the options.")
    spk2utt: dict[str, list[str]] = {}
    for name in sorted(table):
        spk2utt.setdefault(table[name].speaker, []).append(name)

    files: dict[str, Mapping[str, object]] = {
        **_text_files(path, table),
        "utt2spk": {name: utt.speaker for name, utt in table.items()},
        "spk2utt": {speaker: " ".join(names) for speaker, names in spk2utt.items()},
        **{
            file: {speaker: value for speaker, value in values.items() if speaker in spk2utt}
            for file, values in (speakers or {}).items()
        },
        "wav.scp": {name: utt.wav for name, utt in table.items()},  # last: all else is there
    }
    intervals = {
        "ctm.words": {name: utt.words for name, utt in table.items() if utt.words is not None},
        "ctm.phones": {name: utt.phones for name, utt in table.items() if utt.phones is not None},
    }
    aligned = {file: found for file, found in intervals.items() if found}
    remove_stale(path, {*files, *aligned, *(["alignment.yaml"] if alignment else [])})
    for file, found in aligned.items():
        write_ctm(path / file, found)
    if alignment is not None:
        write_alignment_info(path, alignment)
    for file, values in files.items():
        write_scp(path / file, values)


def check_words(path: Path, utt: str, speaker: str) -> None:
    """Refuse an id or a speaker that is empty or has white space."""
    for name, value in (("id", utt), ("speaker", speaker)):
        if len(value.split()) != 1 or value != value.strip():
            raise ValueError(f"{path}: utterance '{utt}': {name} {value!r}; expected one word.")


def _text_files(path: Path, table: Mapping[str, Utterance]) -> dict[str, dict[str, str]]:
    """File name to its lines, white space made single; each must cover all utterances."""
    files: dict[str, dict[str, str]] = {}
    for name, utt in table.items():
        found = {f"text.{suffix}": text for suffix, text in utt.texts.items()}
        if utt.text is not None:
            found["text"] = utt.text
        for file, text in found.items():
            files.setdefault(file, {})[name] = " ".join(text.split())
    for file, lines in files.items():
        lost = [name for name in table if name not in lines]
        refuse(path, lost, f"have no '{file}' though others have")
    return files


def remove_stale(path: Path, keep: set[str]) -> None:
    """Remove the optional files of an earlier data directory but for those in ``keep``."""
    for pattern in ("text*", "spk2*", "ctm.*", "alignment.yaml", "segments"):
        for file in path.glob(pattern):
            if file.name not in keep and file.is_file():
                file.unlink()


def _plain_path(path: Path, utt: str, wav: str) -> str:
    """``wav`` unless it is empty or a Kaldi pipe: those run commands, so they are refused."""
    if wav.rstrip().endswith("|") or wav.lstrip().startswith("|"):
        raise ValueError(
            f"{path / 'wav.scp'}: {utt}: {wav!r} is a pipe; expected a path to an audio file. "
            "Run the command beforehand and name its output."
        )
    if not wav.strip():
        raise ValueError(f"{path / 'wav.scp'}: {utt}: no path; expected an audio file.")
    return wav


def _are_plain_paths(values: Values) -> Any:
    """What :func:`_plain_path` surely accepts: no bar at either end."""
    first, last = values.text[values.first], values.text[values.last]
    return (first != ord("|")) & (last != ord("|")) & (last > ord(" ")) & (last < 0x7F)


def _from(base: str | Path, _: str, wav: str) -> str:
    return str(Path(base) / wav)


def _recording(wavs: Mapping[str, str], _: str, segment: Segment) -> str:
    return wavs[segment.recording]


def _look_up(table: Mapping[str, str], utt: str, _: object) -> str:
    return table[utt]


def refuse(path: Path, utts: list[str], what: str) -> None:
    """Raise ``ValueError`` that names some of the utterances, if there are any."""
    if utts:
        some = ", ".join(utts[:5]) + (", …" if len(utts) > 5 else "")
        raise ValueError(
            f"{path}: {len(utts)} utterance(s) {what}: {some}. Run validate_data_dir on it."
        )
