"""One utterance: markup with jittered tempo and pauses, espeak-ng, 16 kHz, level, noise, times.

Everything random comes from the utterance's own seed, and every utterance is made in a process
of its own (espeak-ng keeps state), so its bytes depend on nothing else.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from espnet_entropy.corpora.alignment import Interval
from espnet_entropy.corpora.mini_synth import boundaries, espeak
from espnet_entropy.corpora.mini_synth.voices import Voice
from espnet_entropy.utils.files import atomic_write, fingerprint

T = TypeVar("T")
VERSION = 1  # part of the key: raise it when the audio of an utterance changes
SAMPLE_RATE = 16000
UP, DOWN = 320, 441  # 22050 Hz to 16000 Hz
PAUSE_BEFORE = (
    *("in", "on", "at", "near", "behind", "with", "to"),
    *("and", "but", "because", "so", "if", "that", "who"),
    *("yesterday", "tomorrow", "last", "next", "every", "now"),
)


@dataclass(frozen=True)
class SpeechPlan:
    """What decides the bytes of an utterance.

    Args:
        utt: its id.
        text: English, upper case.
        voice: who speaks.
        seed: of the corpus.
    """

    utt: str
    text: str
    voice: Voice
    seed: int

    @property
    def key(self) -> str:
        """Fingerprint: an existing file with another key is made anew."""
        return fingerprint({"version": VERSION, **asdict(self)})


@dataclass(frozen=True)
class Speech:
    """A synthesized utterance.

    Args:
        clean: (T,) float32 at 16 kHz without noise; silence is (nearly) zero.
        noisy: (T,) float32, what is written.
        words: words in upper case and ``SIL``, contiguous from 0 to the end, seconds.
        phones: IPA and ``SIL``, likewise.
    """

    clean: np.ndarray
    noisy: np.ndarray
    words: list[Interval]
    phones: list[Interval]


def markup(words: list[str], rng: random.Random) -> tuple[str, list[int]]:
    """SSML with every word at a tempo of its own (±12 %) and a pause before some phrases.

    Returns:
        The text, and where each word begins in it, in characters.
    """
    text, positions = "<speak>", []
    for index, word in enumerate(words):
        if index > 1 and word in PAUSE_BEFORE and rng.random() < 0.2:
            text += f'<break time="{rng.randint(60, 350)}ms"/> '
        tempo = f'<prosody rate="{rng.randint(88, 112)}%">'
        positions.append(len(text) + len(tempo))
        text += f"{tempo}{word}</prosody> "
    return text + "</speak>", positions


def synthesize(plan: SpeechPlan) -> Speech:
    """Make an utterance; call it once per process (see :func:`in_children`).

    Raises:
        ValueError: if espeak-ng is missing, or leaves a word without phones.
    """
    from scipy.signal import resample_poly

    rng = random.Random(plan.key)
    words = plan.text.lower().split()
    ssml, positions = markup(words, rng)
    voice = plan.voice
    samples, events = espeak.speak(
        ssml,
        voice.espeak,
        round(voice.rate * rng.uniform(0.85, 1.2)),
        voice.pitch + rng.randint(-6, 6),
        voice.pitch_range + rng.randint(-12, 12),
    )
    phones = boundaries.mend(samples, events, words, positions, espeak.pronounce)
    # the synthesizer's own silence at both ends gives way to ours, of random length
    first = next(p.start for p in phones if p.label != boundaries.SIL)
    last = next(p.end for p in reversed(phones) if p.label != boundaries.SIL)
    speech = resample_poly(samples[first:last].astype(np.float64) / 32768, UP, DOWN)
    before, after = (round(rng.uniform(0.06, 0.25) * SAMPLE_RATE) for _ in range(2))
    clean = np.concatenate([np.zeros(before), speech, np.zeros(after)])
    clean *= _level(speech, rng)
    noisy = clean + _noise(clean, rng)

    def seconds(sample: int) -> float:
        return round(before / SAMPLE_RATE + (sample - first) / espeak.SAMPLE_RATE, 4)

    def intervals(spans: list[boundaries.Phone], names: Callable[[int], str]) -> list[Interval]:
        sil = boundaries.SIL
        edges = [seconds(span.start) for span in spans] + [seconds(last)]
        found = [
            Interval(start, end, span.label if span.word < 0 else names(i))
            for i, (span, (start, end)) in enumerate(
                zip(spans, itertools.pairwise(edges), strict=True)
            )
        ]
        end = round(len(clean) / SAMPLE_RATE, 4)
        return [Interval(0.0, edges[0], sil), *found, Interval(edges[-1], end, sil)]

    heard = [p for p in phones if first <= p.start and p.end <= last]
    spans = boundaries.word_spans(heard)
    return Speech(
        clean.astype(np.float32),
        noisy.astype(np.float32),
        intervals(spans, lambda i: words[spans[i].word].upper()),
        intervals(heard, lambda i: heard[i].label),
    )


def _level(speech: np.ndarray, rng: random.Random) -> float:
    """The gain to an RMS of about -26 ± 3 dBFS, without clipping."""
    rms, peak = float(np.sqrt(np.mean(speech**2))), float(np.abs(speech).max())
    return min(10 ** (rng.uniform(-29.0, -23.0) / 20) / rms, 0.9 / peak)


def _noise(clean: np.ndarray, rng: random.Random) -> np.ndarray:
    """Noise falling towards high frequencies, 25 to 35 dB below the speech."""
    from scipy.signal import lfilter

    generator = np.random.default_rng(rng.getrandbits(64))
    noise = lfilter([1.0], [1.0, -0.6], generator.standard_normal(len(clean)))
    power = np.mean(clean[np.abs(clean) > 1e-4] ** 2) / 10 ** (rng.uniform(25.0, 35.0) / 10)
    scaled: np.ndarray = noise * np.sqrt(power / np.mean(noise**2))
    return scaled


def paths(audio: Path, plan: SpeechPlan) -> tuple[Path, Path]:
    """The FLAC file of an utterance and the JSON file with its key and times."""
    flac = audio / plan.voice.name / f"{plan.utt}.flac"
    return flac, flac.with_suffix(".json")


def make(audio: Path, plan: SpeechPlan) -> None:
    """Synthesize and write an utterance; the FLAC appears last, so it says that all is there."""
    import soundfile

    speech = synthesize(plan)
    flac, times = paths(audio, plan)
    with atomic_write(times) as stream:
        content = {"key": plan.key, "words": speech.words, "phones": speech.phones}
        json.dump(content, stream, ensure_ascii=False)
    with atomic_write(flac, "wb") as stream:
        soundfile.write(stream, speech.noisy, SAMPLE_RATE, format="FLAC", subtype="PCM_16")


def read_times(audio: Path, plan: SpeechPlan) -> dict[str, list[Interval]] | None:
    """``{"words": …, "phones": …}`` of a finished utterance; ``None`` if it must be made."""
    flac, times = paths(audio, plan)
    if not (flac.is_file() and times.is_file()):
        return None
    content: dict[str, Any] = json.loads(times.read_text(encoding="utf-8"))
    if content["key"] != plan.key:
        flac.unlink()  # of another seed or vocabulary: never beside new times
        return None
    return {tier: [Interval(*i) for i in content[tier]] for tier in ("words", "phones")}


def in_children(task: Callable[[T], None], items: Iterable[T], nj: int) -> Iterator[T]:
    """Run ``task`` on every item, each in a forked process of its own, ``nj`` at a time.

    Yields:
        The items as they are finished.

    Raises:
        ValueError: if one fails; its traceback is on stderr.
    """
    context = multiprocessing.get_context("fork")
    running: dict[int, tuple[Any, T]] = {}
    queue = iter(items)
    try:
        for item in itertools.chain(queue, itertools.repeat(None)):
            if item is not None:
                process = context.Process(target=task, args=(item,), daemon=True)
                process.start()
                running[process.sentinel] = (process, item)
                if len(running) < nj:
                    continue
            elif not running:
                return
            for sentinel in wait(list(running)):
                assert isinstance(sentinel, int)
                process, done = running.pop(sentinel)
                process.join()
                if process.exitcode != 0:
                    raise ValueError(
                        f"mini_synth: could not make {done} (exit status {process.exitcode}); "
                        "the reason is above. What is finished is kept: run it again."
                    )
                process.close()
                yield done
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()
