"""Mboshi-French: a Bantu language with French translations, three speakers (arXiv 1710.03501).

Its licence allows "reproducible computational language documentation experiments"; do not
redistribute it, nor a model trained on it.
"""

from __future__ import annotations

from pathlib import Path

from espnet_entropy.corpora.alignment import AlignmentInfo
from espnet_entropy.corpora.data_dir import DataDir, Utterance, write_data_dir
from espnet_entropy.utils.config import check_choice


def prepare(
    source: Path,
    out: Path,
    valid_speaker: str = "martial",
    test_speaker: str | None = None,
    alignment_shift: float = 0.065,
) -> None:
    """Write ``<out>/{train,valid,dev,dev_<speaker>…}``, with one set more for ``test_speaker``.

    The official dev shares all three speakers with the official train, and the speakers differ
    (utterances in train, phones/s, share of silence): abiayi 3330, 8.5, 20 %; kouarata 1108,
    6.6, 27 %; martial 178, 7.7, 30 %. So there are these sets:

    - ``train``: the official train without ``valid_speaker`` (and ``test_speaker``);
    - ``valid``: the ``valid_speaker`` of the official train. martial costs train 4 % of its
      utterances and repeats almost none of its sentences;
    - ``dev``: the official one, for translation scores that compare with others';
    - ``dev_<speaker>``: its three parts. ``dev_<valid_speaker>`` is disjoint from train in
      speaker and sentence, and from valid in sentence: the test of an achieved rate;
    - ``test_<test_speaker>``, on request: all that this speaker said, so that train, valid and
      test have a speaker each. A rate calibrated on one voice then meets another that speaks up
      to a quarter faster: expect, and state, a drift.

    ``text`` is Mboshi, ``text.fr`` French without punctuation, ``text.fr.raw`` as written. The
    forced alignment stays as it is in ``ctm.*``; ``alignment.yaml`` says how late it is.

    Args:
        source: the corpus folder (``MBOSHI`` of ``db.sh``).
        out: where the data directories go.
        valid_speaker: whose train utterances become ``valid``.
        test_speaker: whom to keep out of train altogether, or ``None``.
        alignment_shift: seconds by which the labels are late (55 to 100 ms by phone class were
            measured against the signal).

    Raises:
        ValueError: if the folder is not the corpus, a speaker is unknown, or both are the same.
    """
    splits = {name: DataDir.read(source / name, base=source) for name in ("train", "dev")}
    speakers = sorted(set(splits["train"].utt2spk.values()))
    check_choice(valid_speaker, speakers, "valid_speaker", str(source))
    if test_speaker is not None:
        others = [speaker for speaker in speakers if speaker != valid_speaker]
        check_choice(test_speaker, others, "test_speaker", str(source))
    train, dev = (list(splits[name].utterances()) for name in ("train", "dev"))
    sets: dict[str, list[Utterance]] = {
        "train": [utt for utt in train if utt.speaker not in (valid_speaker, test_speaker)],
        "valid": [utt for utt in train if utt.speaker == valid_speaker],
        "dev": dev,
    }
    for speaker in sorted({utt.speaker for utt in dev}):
        sets[f"dev_{speaker}"] = [utt for utt in dev if utt.speaker == speaker]
    if test_speaker is not None:
        sets[f"test_{test_speaker}"] = [utt for utt in train + dev if utt.speaker == test_speaker]
    info = AlignmentInfo(
        shift_seconds=-alignment_shift,
        source="align-kit-old (forced alignment, from the corpus)",
        note="late by 55 to 100 ms; 39 % of the phones lie on the aligner's floor of 30 ms",
    )
    for name, utts in sets.items():
        write_data_dir(out / name, utts, alignment=info)
