"""Formatted data directories to a packed set: the one step of training that needs audio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espnet_entropy.corpora.alignment import Interval, read_alignments
from espnet_entropy.corpora.data_dir import PHONES, DataDir
from espnet_entropy.evaluation.phone_frames import frame_phones, phone_names, spoken_phones
from espnet_entropy.ssl.packed import NO_PHONE, PackedSet, join
from espnet_entropy.tokenizer.mel_levels import mel_levels
from espnet_entropy.tokenizer.tokenizer import check_wav
from espnet_entropy.utils.failures import FailureLog
from espnet_entropy.utils.progress import progress

MAX_SECONDS = 30.0  # of an utterance: attention is quadratic, and a batch has to hold it


def pack(
    directories: Sequence[tuple[str | Path, str | Path]],
    out: str | Path,
    label_names: Sequence[str] | None = None,
    max_failed: float = 0.05,
) -> PackedSet:
    """Pack several data directories as one set.

    Args:
        directories: each with the directory that its relative audio paths start from.
        out: where the set goes.
        label_names: phones of the labels, of the train set; found in the texts, if not given.
        max_failed: the largest tolerated share of failed utterances (0..1).

    Raises:
        ValueError: for an unusable directory or too many failures.
    """
    corpora = [_Corpus.read(path, base) for path, base in directories]
    ids = [utt for corpus in corpora for utt in corpus.data.wavs]
    twice = {utt for utt in ids if ids.count(utt) > 1} if len(set(ids)) < len(ids) else set()
    if twice:
        raise ValueError(f"{out}: utterance '{min(twice)}' is in two of the sets; pack each once.")
    if label_names is None:
        label_names = sorted({phone for corpus in corpora for phone in corpus.all_labels()})
    aligned_names = phone_names(spans for corpus in corpora for spans in corpus.spans.values())
    index = {name: i for i, name in enumerate(label_names)}
    failures = FailureLog("pack", Path(out) / "failed.txt", max_failed)
    utterances: list[tuple[str, np.ndarray]] = []
    labels: list[list[int]] = []
    aligned: list[np.ndarray] = []
    with progress((), "pack", total=len(ids)) as bar:
        for corpus in corpora:
            for utt in corpus.data.wavs:
                bar.update(1)
                try:
                    wav = check_wav(corpus.data.load_audio(utt, MAX_SECONDS))
                    found = [_lookup(index, phone) for phone in corpus.labels(utt)]
                except ValueError as error:
                    failures.add(utt, error)
                    continue
                utterances.append((utt, mel_levels(wav)))
                labels.append(found)
                aligned.append(
                    corpus.aligned(utt, (len(utterances[-1][1]) + 1) // 2, aligned_names)
                )
    failures.close(len(ids))
    packed = join(utterances, labels, aligned, label_names, aligned_names)
    packed.save(out)
    return packed


@dataclass(frozen=True)
class _Corpus:
    data: DataDir
    phones: Mapping[str, str]
    spans: Mapping[str, list[Interval]]

    @classmethod
    def read(cls, path: str | Path, base: str | Path) -> _Corpus:
        data = DataDir.read(path, base)
        return cls(data, data.texts.get(PHONES, {}), read_alignments(path).get("phones", {}))

    def labels(self, utt: str) -> list[str]:
        """Phones of an utterance, without stress and word ends."""
        return spoken_phones(self.phones.get(utt, ""))

    def all_labels(self) -> Iterator[str]:
        for utt in self.phones:
            yield from self.labels(utt)

    def aligned(self, utt: str, count: int, names: Sequence[str]) -> np.ndarray:
        """(N,) uint8, as ``PackedSet.aligned``."""
        if utt not in self.spans:
            return np.full(count, NO_PHONE, np.uint8)
        return frame_phones(self.spans[utt], count, names).astype(np.uint8)


def _lookup(index: Mapping[str, int], phone: str) -> int:
    if phone not in index:
        raise ValueError(f"text.{PHONES}: phone '{phone}' does not occur in the train set.")
    return index[phone]
