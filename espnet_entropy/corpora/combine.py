"""Several data directories as one, like Kaldi's ``combine_data.sh``: a model of several corpora."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from espnet_entropy.corpora.alignment import AlignmentInfo, read_alignment_info
from espnet_entropy.corpora.data_dir import PHONES, DataDir, Utterance, write_data_dir


def combine(directories: Sequence[str | Path], out: str | Path) -> None:
    """Write all utterances of ``directories`` to one data directory.

    Alignments stay with the utterances that have one, and so does ``text.phones``, whose other
    lines are empty. Any other text or ``spk2<what>`` table that not all have is left out.

    Args:
        directories: at least one, without ``segments``.
        out: the new data directory.

    Raises:
        ValueError: for an unusable directory, an utterance or a speaker that is in two of them,
            alignments that are shifted differently, or if ``out`` is one of them.
    """
    if Path(out).resolve() in {Path(path).resolve() for path in directories}:
        raise ValueError(f"{out}: is one of the directories to combine; choose another place.")
    parts = [DataDir.read(path) for path in directories]
    _check_apart(parts)
    suffixes = set.intersection(*(set(part.texts) for part in parts))
    if any(PHONES in part.texts for part in parts):
        suffixes |= {PHONES}
    tables = set.intersection(*(set(part.speakers) for part in parts))
    speakers = {
        name: {speaker: value for part in parts for speaker, value in part.speakers[name].items()}
        for name in tables
    }
    write_data_dir(out, _utterances(parts, suffixes), speakers, _alignment(parts))


def _utterances(parts: Sequence[DataDir], suffixes: set[str]) -> Iterator[Utterance]:
    for part in parts:
        for utt in part.utterances():
            texts = {suffix: text for suffix, text in utt.texts.items() if suffix in suffixes}
            if PHONES in suffixes:
                texts.setdefault(PHONES, "")
            text = utt.text if "" in suffixes else None
            yield dataclasses.replace(utt, text=text, texts=texts)


def _check_apart(parts: Sequence[DataDir]) -> None:
    seen: dict[str, dict[str, Path]] = {"utterance": {}, "speaker": {}}
    for part in parts:
        for what, names in (("utterance", part.wavs), ("speaker", set(part.utt2spk.values()))):
            for name in names:
                first = seen[what].setdefault(name, part.path)
                if first is not part.path:
                    raise ValueError(
                        f"{what} '{name}' is in {first} and in {part.path}; expected names that "
                        "tell the corpora apart. Rename those of one of them."
                    )


def _alignment(parts: Sequence[DataDir]) -> AlignmentInfo | None:
    """What ``alignment.yaml`` says of the times of all parts that have any."""
    aligned = [part.path for part in parts if list(part.path.glob("ctm.*"))]
    if not aligned:
        return None
    infos = [read_alignment_info(path) for path in aligned]
    if len({info.shift_seconds for info in infos}) > 1:
        raise ValueError(
            "alignments are shifted by "
            + ", ".join(
                f"{info.shift_seconds} s in {path}"
                for info, path in zip(infos, aligned, strict=True)
            )
            + "; expected one shift. Write shifted CTM files first."
        )
    return AlignmentInfo(
        infos[0].shift_seconds,
        "; ".join(dict.fromkeys(info.source for info in infos if info.source)),
        "; ".join(dict.fromkeys(info.note for info in infos if info.note)),
    )
