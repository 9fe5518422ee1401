"""LJSpeech 1.1: 13 100 clips, 24 hours, of one woman who reads English non-fiction. Public domain.

``metadata.csv`` (``<clip>|<as printed>|<numbers as words>``, without heading) and
``wavs/<clip>.wav`` at 22 050 Hz (https://keithito.com/LJ-Speech-Dataset), or ``ljspeech_mini``.
"""

from __future__ import annotations

from pathlib import Path

from espnet_entropy.corpora.alignment import AlignmentInfo
from espnet_entropy.corpora.data_dir import DataDir, Utterance, write_data_dir
from espnet_entropy.corpora.english_text import librispeech_form
from espnet_entropy.corpora.plain_layout import find_audio, read_rows
from espnet_entropy.utils.failures import FailureLog


def read_corpus(source: Path, log: FailureLog) -> list[Utterance]:
    """The clips in the order of the book; what cannot be used goes to ``log``."""
    if (source / "lj").is_dir():  # ljspeech_mini, with its MFA alignment
        return list(DataDir.read(source / "lj", base=source).utterances())
    audio = find_audio(source)
    utts = []
    for row in read_rows(source / "metadata.csv", ("clip", "printed", "read"), "|", heading=False):
        clip = row["clip"]
        try:
            text = librispeech_form(row["read"])
            if clip not in audio:
                raise ValueError(f"{source}: no audio file of this name in it or below.")
        except ValueError as error:
            log.add(clip, error)
            continue
        utts.append(Utterance(f"lj-{clip}", str(audio[clip]), "lj", text, {"raw": row["read"]}))
    return sorted(utts, key=lambda utt: utt.utt)


def prepare(source: Path, out: Path, held_out: int = 250, max_failed: float = 0.05) -> None:
    """Write ``<out>/{train,valid,test}``: the last clips are test, those before them valid.

    With 250 these are the sets of ESPnet's recipe. ``text`` is upper case without punctuation,
    ``text.raw`` as it is read.

    Args:
        source: the corpus folder (``LJSPEECH`` of ``db.sh``).
        out: where the data directories go.
        held_out: clips of valid, and of test.
        max_failed: the largest tolerated share of unusable utterances (0..1).

    Raises:
        ValueError: if the folder is not the corpus, or too few utterances are usable.
    """
    log = FailureLog("ljspeech", out / "failed.txt", max_failed)
    utts = read_corpus(source, log)
    log.close(total=len(utts) + len(log.failed))
    if not 0 < 2 * held_out < len(utts):
        raise ValueError(
            f"held_out: expected 1 to {(len(utts) - 1) // 2} of the {len(utts)} clips in {source}, "
            f"got {held_out}; give --data_opts '--option held_out=4' for few clips."
        )
    train = len(utts) - 2 * held_out
    sets = {
        "train": utts[:train],
        "valid": utts[train : train + held_out],
        "test": utts[train + held_out :],
    }
    info = AlignmentInfo(source="Montreal Forced Aligner") if utts[0].phones else None
    for name, part in sets.items():
        write_data_dir(out / name, part, alignment=info)
