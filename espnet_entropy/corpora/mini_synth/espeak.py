"""espeak-ng through ctypes: text in, 16-bit samples and timed words and phones out.

The library keeps state between utterances (noise generator, last voice): who wants the same
bytes whatever was said before calls :func:`speak` once per process (``synthesis.in_children``).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

SAMPLE_RATE = 22050  # of every espeak-ng voice used here; checked in `load_library`
# speak_lib.h
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 2, 0x0001, 0x0002, 0x8000
_UTF8, _SSML = 1, 0x10
_WORD, _PHONEME = 1, 7
_RATE, _PITCH, _RANGE = 1, 3, 4


class _Id(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    ]


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


@dataclass(frozen=True)
class Event:
    """The start of a word or phone.

    Args:
        sample: position at :data:`SAMPLE_RATE`.
        label: IPA of a phone (no stress marks; ``""`` may be a pause); ``None`` for a word.
        text_position: of a word: where it stands in the text, in characters from 0.
    """

    sample: int
    label: str | None
    text_position: int


@cache
def load_library() -> Any:
    """Load and initialise libespeak-ng.

    Raises:
        ValueError: if the package ``espeakng_loader`` is missing or its library does not start.
    """
    try:
        import espeakng_loader
    except ImportError as error:
        raise ValueError(
            "mini_synth: espeak-ng is not installed; expected the package 'espeakng-loader'. "
            "Run: pip install espeakng-loader"
        ) from error
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
    rate = library.espeak_Initialize(
        _SYNCHRONOUS, 0, str(espeakng_loader.get_data_path()).encode(), options
    )
    if rate != SAMPLE_RATE:
        raise ValueError(
            f"mini_synth: espeak-ng did not start (got sampling rate {rate}, expected "
            f"{SAMPLE_RATE}); reinstall it: pip install --force-reinstall espeakng-loader"
        )
    return library


def speak(
    ssml: str, voice: str, rate: int, pitch: int, pitch_range: int
) -> tuple[np.ndarray, list[Event]]:
    """Synthesize one utterance.

    Args:
        ssml: text with SSML markup, inside ``<speak>``.
        voice: ``accent+variant``, as ``en-us+f3``.
        rate: words per minute, 80 to 450.
        pitch: 0 to 99, 50 is the voice's own.
        pitch_range: 0 (monotone) to 99.

    Returns:
        Samples (T,) int16 at 22050 Hz, and the word and phone events in order of time.

    Raises:
        ValueError: if espeak-ng is missing or does not know the voice.
    """
    library = load_library()
    pieces: list[bytes] = []
    events: list[Event] = []

    def collect(samples: Any, count: int, found: Any) -> int:
        if count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        events.extend(_events(found))
        return 0

    callback = _CALLBACK(collect)
    library.espeak_SetSynthCallback(callback)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        raise ValueError(f"mini_synth: espeak-ng has no voice '{voice}'.")
    for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    text = ssml.encode()
    status = library.espeak_Synth(text, len(text) + 1, 0, 1, 0, _UTF8 | _SSML, None, None)
    assert status == 0, (status, ssml)
    return np.frombuffer(b"".join(pieces), dtype=np.int16), events


def pronounce(word: str) -> list[str]:
    """The phones of a single word in the voice set last, labelled as in :func:`speak`."""
    library = load_library()
    text = ctypes.c_char_p(word.encode())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    ipa_separated = _PHONEME_IPA | ord("_") << 8
    found = library.espeak_TextToPhonemes(ctypes.byref(text), _UTF8, ipa_separated)
    return [label for phone in found.decode().split("_") if (label := _plain(phone))]


def _plain(label: str) -> str:
    """An IPA label without stress marks and blanks, long vowels with one sign."""
    return "".join(c for c in label if c not in "ˈˌ \0").replace(":", "ː")


def _events(found: Any) -> Iterator[Event]:
    """The word and phone events of one callback; the list ends with type 0."""
    index = 0
    while found[index].type != 0:
        event = found[index]
        if event.type == _WORD:
            yield Event(event.sample, None, event.text_position - 1)
        elif event.type == _PHONEME:
            label = bytes(event.id.string).decode("utf-8", "ignore")
            yield Event(event.sample, _plain(label), event.text_position - 1)
        index += 1
