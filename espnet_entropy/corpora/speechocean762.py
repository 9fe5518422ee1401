"""speechocean762: English read by Mandarin speakers, half of them children (OpenSLR 101).

Two layouts are read: the official one (``WAVE/SPEAKERxxxx/*.WAV``, ``{train,test}/wav.scp`` …,
``resource/text-phone``) and a converted one whose ``wav.scp`` names other files.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

from espnet_entropy.corpora.data_dir import DataDir, Utterance, write_data_dir
from espnet_entropy.corpora.subsets import hold_out_speakers
from espnet_entropy.utils.scp import read_scp

ADULT_AGE = 16  # years; the corpus's own line between its two halves


def prepare(source: Path, out: Path, valid_share: float = 0.08, seed: int = 0) -> None:
    """Write ``<out>/{train,valid,test}``.

    ``test`` is the official one. ``valid`` holds some speakers of the official train set, the
    same share of girls, boys, women and men; ``train`` is the rest. No speaker is in two sets.

    Args:
        source: the corpus folder (``SPEECHOCEAN762`` of ``db.sh``).
        out: where the data directories go.
        valid_share: share of the train utterances that becomes ``valid``, per group.
        seed: of the choice of speakers.

    Raises:
        ValueError: if the folder is not the corpus, or the share is not between 0 and 1.
    """
    phones = _read_phones(source / "resource" / "text-phone")
    splits = {name: DataDir.read(source / name, base=source) for name in ("train", "test")}
    train = splits["train"]
    age, gender = (_speaker_table(train, name) for name in ("spk2age", "spk2gender"))
    groups = {
        speaker: f"{'child' if float(age[speaker]) < ADULT_AGE else 'adult'} {gender[speaker]}"
        for speaker in set(train.utt2spk.values())
    }
    held_out = hold_out_speakers(Counter(train.utt2spk.values()), groups, valid_share, seed)
    sets = {
        "train": [utt for utt in train.utterances() if utt.speaker not in held_out],
        "valid": [utt for utt in train.utterances() if utt.speaker in held_out],
        "test": list(splits["test"].utterances()),
    }
    for name, utts in sets.items():
        tables = splits["test" if name == "test" else "train"].speakers
        write_data_dir(out / name, [_with_phones(utt, phones) for utt in utts], tables)


def _speaker_table(data: DataDir, name: str) -> dict[str, str]:
    table = data.speakers.get(name, {})
    lost = sorted(set(data.utt2spk.values()) - set(table))
    if lost:
        raise ValueError(
            f"{data.path / name}: lacks {len(lost)} speaker(s): {', '.join(lost[:5])}; expected "
            "every speaker of the corpus. Unpack the corpus again."
        )
    return table


def _with_phones(utt: Utterance, phones: dict[str, str]) -> Utterance:
    """Add ``text.phones`` where the official layout keeps it apart."""
    if utt.utt not in phones:
        return utt
    return dataclasses.replace(utt, texts={**utt.texts, "phones": phones[utt.utt]})


def _read_phones(path: Path) -> dict[str, str]:
    """``<utt>.<word> W_B IY0_E`` lines as ``W IY0 | …`` per utterance; ``{}`` without the file."""
    if not path.is_file():
        return {}
    words: dict[str, list[str]] = {}
    for key, value in read_scp(path).items():
        utt = key.rpartition(".")[0]
        phones = [phone.partition("_")[0] for phone in value.split()]
        words.setdefault(utt, []).append(" ".join(phones))
    return {utt: " | ".join(found) for utt, found in words.items()}
