"""mini_synth: from nothing to data directories with text, translations, audio and boundaries."""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from functools import partial
from pathlib import Path

from espnet_entropy.corpora.alignment import AlignmentInfo, Interval
from espnet_entropy.corpora.data_dir import Utterance, write_data_dir
from espnet_entropy.corpora.mini_synth import espeak, synthesis
from espnet_entropy.corpora.mini_synth.grammar import Sentence, generate
from espnet_entropy.corpora.mini_synth.synthesis import SpeechPlan
from espnet_entropy.corpora.mini_synth.verify import BoundaryReport, verify
from espnet_entropy.corpora.mini_synth.voices import HELD_OUT, KNOWN
from espnet_entropy.utils.progress import progress

SETS = ("train", "valid", "test_seen", "test_unseen")
HELD_BACK = {0: "valid", 1: "test_seen", 2: "test_unseen"}  # of every 16 sentences; else train
# seconds of an utterance, fitted on 400 of both vocabularies and all voices: a + b * characters
SECONDS_FIXED, SECONDS_PER_CHARACTER = 0.45, 0.0505
VERIFIED = 300  # utterances whose boundaries are compared with the signal


def prepare(
    source: Path | None,
    out: Path,
    minutes: float = 85.0,
    vocabulary: str = "small",
    seed: int = 0,
    nj: int = 2,
    audio: Path | None = None,
) -> None:
    """Write ``<out>/{train,valid,test_seen,test_unseen}``, with audio in FLAC.

    Sentences are distinct over all sets; ``test_seen`` has the speakers of ``train``,
    ``test_unseen`` others. Kill it whenever you like: finished utterances are kept, and the
    bytes are the same however often, in whatever order and by how many processes they are made.

    Args:
        source: must be ``None``: there is nothing to read.
        out: where the data directories go.
        minutes: of audio in all (about).
        vocabulary: ``small`` (about 100 English words) or ``large`` (more than 1500).
        seed: of everything random.
        nj: processes at a time.
        audio: folder for the audio; ``<out>/audio`` by default.

    Raises:
        ValueError: for options out of range, without espeak-ng, or if the boundaries that were
            made do not agree with the signal.
    """
    if source is not None:
        raise ValueError(
            f"mini_synth: is generated and reads nothing; leave --source {source} out."
        )
    if not minutes >= 0.1:
        raise ValueError(f"mini_synth: minutes: expected at least 0.1, got {minutes}.")
    if nj < 1:
        raise ValueError(f"mini_synth: nj: expected at least 1, got {nj}.")
    audio = audio if audio is not None else out / "audio"
    plans = plan(minutes, vocabulary, seed)
    synthesize_all(audio, [p for _, p, _ in plans], nj)
    times = {p.utt: _times(audio, p) for _, p, _ in plans}
    report = _verify(audio, [p for _, p, _ in plans], times)
    logging.info("mini_synth: %s", report)
    info = AlignmentInfo(0.0, "espeak-ng events, mended", str(report))
    for name in SETS:
        chosen = [(p, s) for subset, p, s in plans if subset == name]
        utts = [_utterance(audio, p, sentence, times[p.utt]) for p, sentence in chosen]
        write_data_dir(out / name, utts, alignment=info)
    seconds = sum(words[-1].end for words, _ in times.values())
    logging.info("mini_synth: %d utterances, %.1f minutes in %s", len(plans), seconds / 60, out)


def plan(minutes: float, vocabulary: str, seed: int) -> list[tuple[str, SpeechPlan, Sentence]]:
    """Which sentence is said by whom, in which set: (set, plan, sentence).

    Args:
        minutes: the sentences go on until their estimated lengths add up to this.
        vocabulary: ``small`` or ``large``.
        seed: of the sentences and of the audio.
    """
    plans: list[tuple[str, SpeechPlan, Sentence]] = []
    seconds, turn = 0.0, Counter[str]()
    for index, sentence in enumerate(generate(vocabulary, seed)):
        if seconds >= 60 * minutes and index >= len(SETS):
            break
        subset = HELD_BACK.get(index % 16, "train")
        voices = HELD_OUT if subset == "test_unseen" else KNOWN
        voice = voices[turn[subset] % len(voices)]
        turn[subset] += 1
        utt = f"{voice.name}-{index:05d}"
        plans.append((subset, SpeechPlan(utt, sentence.en, voice, seed), sentence))
        seconds += SECONDS_FIXED + SECONDS_PER_CHARACTER * len(sentence.en)
    return plans


def synthesize_all(audio: Path, plans: list[SpeechPlan], nj: int) -> None:
    """Make the utterances that do not exist whole, in the folder ``audio``."""
    missing = [p for p in plans if synthesis.read_times(audio, p) is None]
    if not missing:
        return
    for module in ("scipy.signal", "soundfile"):  # once, not in every forked child
        importlib.import_module(module)
    espeak.load_library()
    done = synthesis.in_children(partial(synthesis.make, audio), missing, nj)
    for _ in progress(done, "synthesize", total=len(missing)):
        pass


def _times(audio: Path, item: SpeechPlan) -> tuple[list[Interval], list[Interval]]:
    found = synthesis.read_times(audio, item)
    assert found is not None, item
    return found["words"], found["phones"]


def _verify(
    audio: Path, plans: list[SpeechPlan], times: dict[str, tuple[list[Interval], list[Interval]]]
) -> BoundaryReport:
    """Compare a part of the corpus with its signal; refuse boundaries that are off."""
    import soundfile

    some = plans[:: max(1, len(plans) // VERIFIED)]
    report = verify(
        (soundfile.read(synthesis.paths(audio, p)[0], dtype="float32")[0], times[p.utt][1])
        for p in some
    )
    if report.boundaries > 1000 and abs(report.offset_ms) > 5:
        raise ValueError(
            f"{audio}: the boundaries do not agree with the signal ({report}); expected within "
            "5 ms. Is this another version of espeak-ng? Please report it."
        )
    return report


def _utterance(
    audio: Path, item: SpeechPlan, sentence: Sentence, times: tuple[list[Interval], list[Interval]]
) -> Utterance:
    return Utterance(
        utt=item.utt,
        wav=str(synthesis.paths(audio, item)[0]),
        speaker=item.voice.name,
        text=sentence.en,
        texts={"es": sentence.es, "fr": sentence.fr, "zh": sentence.zh},
        words=times[0],
        phones=times[1],
    )
