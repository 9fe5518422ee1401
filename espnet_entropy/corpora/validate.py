"""What is wrong with a data directory, each defect with the first few utterances it meets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from espnet_entropy.corpora.alignment import TIERS, read_alignment_info, read_ctm
from espnet_entropy.corpora.data_dir import PHONES, DataDir, Segment, is_text, parse_segment
from espnet_entropy.utils.progress import progress
from espnet_entropy.utils.scp import scan

SHOWN = 5  # of each defect
_LATE = 0.05  # seconds an alignment may end after its audio: aligners count in whole frames


@dataclass
class Report:
    """Problems (the directory is unusable as it is) and warnings (it is usable)."""

    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def validate_data_dir(path: str | Path, audio: bool = False) -> list[str]:
    """The problems of a data directory; empty if there are none.

    Args:
        path: the directory.
        audio: decode every file as well.
    """
    return inspect_data_dir(path, audio).problems


def inspect_data_dir(path: str | Path, audio: bool = False) -> Report:
    """Check files, sorting, duplicates, encodings, the agreement of all sets, and audio paths.

    Args:
        path: the directory.
        audio: decode every file as well, and compare segments and alignments with its length.
    """
    return _Inspection(Path(path)).run(audio)


class _Inspection:
    """One directory under inspection; each method adds to ``report``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.report = Report()
        self.segments: dict[str, Segment] = {}

    def run(self, audio: bool) -> Report:
        if not self.path.is_dir():
            self._problem(f"{self.path}: no such directory; check the path.")
            return self.report
        wavs = self._table("wav.scp")
        self._check_paths(wavs)
        utts = wavs
        if (self.path / "segments").exists():
            utts = self._check_segments(wavs)
        utt2spk = self._table("utt2spk")
        self._compare("utt2spk", utt2spk, utts)
        self._check_speakers(utt2spk)
        self._check_texts(utts)
        self._check_alignments(utts)
        if audio and not self.report.problems:
            self._check_audio()
        return self.report

    def _problem(self, message: str) -> None:
        self.report.problems.append(message)

    def _listed(self, what: str, found: Iterable[str], warning: bool = False) -> None:
        """Add ``what`` with the number of cases and the first of them, if there are any."""
        cases = list(found)
        if cases:
            dots = ", …" if len(cases) > SHOWN else ""
            message = f"{self.path}: {len(cases)} {what}: {', '.join(cases[:SHOWN])}{dots}"
            (self.report.warnings if warning else self.report.problems).append(message)

    def _table(self, name: str, allow_empty: bool = False) -> dict[str, str]:
        """Read one file, reporting its malformed lines and whether it is sorted."""
        table, problems = scan(self.path / name, allow_empty)
        self.report.problems += problems[:SHOWN]
        if len(problems) > SHOWN:
            self._problem(f"{self.path / name}: and {len(problems) - SHOWN} more defects like it.")
        if not table and not problems:
            self._problem(f"{self.path / name}: empty; expected '<id> <value>' lines.")
        swapped = [f"'{b}' after '{a}'" for a, b in pairwise(table) if b < a]
        self._listed(f"line(s) of '{name}' not sorted (LC_ALL=C sort it)", swapped)
        return table

    def _compare(self, name: str, found: Iterable[str], utts: Iterable[str]) -> None:
        """Report the differences between the utterances of a file and those of the directory."""
        found, expected = set(found), set(utts)
        origin = "segments" if self.segments else "wav.scp"
        self._listed(f"of '{origin}' missing in '{name}'", sorted(expected - found))
        self._listed(f"of '{name}' missing in '{origin}'", sorted(found - expected))

    def _check_paths(self, wavs: dict[str, str]) -> None:
        pipes = [utt for utt, wav in wavs.items() if wav.endswith("|") or wav.startswith("|")]
        self._listed("pipe(s) in 'wav.scp' (run the command, name its output)", pipes)
        missing = [
            f"{utt} ({wav})"
            for utt, wav in wavs.items()
            if wav and utt not in pipes and not Path(wav).is_file()
        ]
        self._listed(f"audio file(s) missing, seen from {Path.cwd()}", missing)

    def _check_segments(self, wavs: dict[str, str]) -> dict[str, str]:
        table = self._table("segments")
        for utt, value in table.items():
            try:
                self.segments[utt] = parse_segment(self.path / "segments", utt, value)
            except ValueError as error:
                self._problem(str(error))
        named = {segment.recording for segment in self.segments.values()}
        self._listed("recording(s) of 'segments' missing in 'wav.scp'", sorted(named - set(wavs)))
        unused = sorted(set(wavs) - named)
        self._listed("recording(s) without a segment", unused, warning=True)
        return table

    def _check_speakers(self, utt2spk: dict[str, str]) -> None:
        spk2utt = self._table("spk2utt")
        pairs = {(utt, speaker) for utt, speaker in utt2spk.items()}
        reverse = {(utt, speaker) for speaker, utts in spk2utt.items() for utt in utts.split()}
        lost = [f"{utt} {speaker}" for utt, speaker in sorted(pairs - reverse)]
        self._listed("pair(s) of 'utt2spk' missing in 'spk2utt'", lost)
        lost = [f"{utt} {speaker}" for utt, speaker in sorted(reverse - pairs)]
        self._listed("pair(s) of 'spk2utt' missing in 'utt2spk'", lost)
        for file in sorted(self.path.glob("spk2*")):
            if file.name != "spk2utt":
                lost = sorted(set(utt2spk.values()) - set(self._table(file.name)))
                self._listed(f"speaker(s) missing in '{file.name}'", lost)
        ordered = [utt2spk[utt] for utt in sorted(utt2spk)]
        if ordered != sorted(ordered):  # what the custom of ESPnet and Kaldi is for
            other = [utt for utt, speaker in utt2spk.items() if not utt.startswith(speaker)]
            what = "utterance id(s) that do not begin with their speaker's, so that speakers mix"
            self._listed(what, other, warning=True)

    def _check_texts(self, utts: dict[str, str]) -> None:
        files = sorted(file.name for file in self.path.glob("text*") if is_text(file))
        if "text" not in files:
            self.report.warnings.append(f"{self.path}: no 'text'; units can be made, not ASR.")
        for name in files:
            table = self._table(name, allow_empty=True)
            self._compare(name, table, utts)
            empty = [utt for utt, text in table.items() if not text]
            unknown = name == f"text.{PHONES}"  # of a combined corpus, some may lack them
            self._listed(f"empty line(s) in '{name}'", empty, warning=unknown)

    def _check_alignments(self, utts: dict[str, str]) -> None:
        for name in [f"ctm.{tier}" for tier in TIERS if (self.path / f"ctm.{tier}").exists()]:
            try:
                unknown = sorted(set(read_ctm(self.path / name)) - set(utts))
            except ValueError as error:
                self._problem(str(error))
                continue
            self._listed(f"utterance(s) of '{name}' unknown to the directory", unknown)
        try:
            read_alignment_info(self.path)
        except ValueError as error:
            self._problem(str(error))

    def _check_audio(self) -> None:
        """Decode everything; only for a directory whose files agree."""
        from espnet_entropy.utils.grid import SAMPLE_RATE

        data = DataDir.read(self.path)
        ends: dict[str, float] = {}
        for tier in TIERS:
            if (self.path / f"ctm.{tier}").exists():
                for utt, intervals in read_ctm(self.path / f"ctm.{tier}").items():
                    ends[utt] = max(ends.get(utt, 0.0), *(i.end for i in intervals))
        silent, late, bad = [], [], []
        for utt in progress(data.wavs, "decode"):
            try:
                samples = data.load_audio(utt)
            except ValueError as error:
                bad.append(f"{utt} ({error})")
                continue
            if not samples.any():
                silent.append(utt)
            if ends.get(utt, 0.0) > len(samples) / SAMPLE_RATE + _LATE:
                late.append(f"{utt} ({ends[utt]:.2f} s of {len(samples) / SAMPLE_RATE:.2f} s)")
        self._listed("utterance(s) that cannot be used", bad)
        self._listed("alignment(s) that end after the audio", late)
        self._listed("utterance(s) of digital silence", silent, warning=True)
