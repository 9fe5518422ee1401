"""mycorpus: TODO language, speakers, hours, where it is to be had and its licence.

``metadata.tsv`` (columns ``utterance``, ``speaker``, ``text``, and ``set`` where the publisher has
made sets), and below it anywhere an audio file ``<utterance>.flac`` (wav, opus, ogg, mp3) for each.
"""

from __future__ import annotations

from pathlib import Path

from espnet_entropy.corpora.data_dir import Utterance, write_data_dir
from espnet_entropy.corpora.plain_layout import find_audio, read_rows
from espnet_entropy.corpora.subsets import add_sets
from espnet_entropy.utils.failures import FailureLog


def read_corpus(source: Path, log: FailureLog) -> dict[str, list[Utterance]]:
    """The utterances of every set that the publisher made, or all in ``train``.

    TODO: edit this function, and leave the others as they are. What cannot be used goes to ``log``.
    """
    audio = find_audio(source)
    sets: dict[str, list[Utterance]] = {}
    for row in read_rows(source / "metadata.tsv", ("utterance", "speaker", "text")):
        name, speaker = row["utterance"], row["speaker"]
        if name not in audio:
            log.add(name, f"{source}: no audio file of this name in it or below.")
            continue
        # an id begins with its speaker's, as is the custom of ESPnet
        utt = Utterance(f"{speaker}-{name}", str(audio[name]), speaker, row["text"])
        sets.setdefault(row.get("set") or "train", []).append(utt)
    return sets


def prepare(
    source: Path,
    out: Path,
    valid_share: float = 0.1,
    test_share: float = 0.1,
    seed: int = 0,
    max_failed: float = 0.05,
) -> None:
    """Write ``<out>/{train,valid,test}``; no speaker is in two of those that are made here.

    Args:
        source: the corpus folder (``MYCORPUS`` of ``db.sh``).
        out: where the data directories go.
        valid_share: share of train that becomes ``valid``, if the corpus has none.
        test_share: share of train that becomes ``test``, if the corpus has none.
        seed: of the choice of speakers.
        max_failed: the largest tolerated share of unusable utterances (0..1).

    Raises:
        ValueError: if the folder is not the corpus, or too many utterances are unusable.
    """
    log = FailureLog("mycorpus", out / "failed.txt", max_failed)
    sets = read_corpus(source, log)
    log.close(total=sum(map(len, sets.values())) + len(log.failed))
    for name, utts in add_sets(sets, {"test": test_share, "valid": valid_share}, seed).items():
        write_data_dir(out / name, utts)
