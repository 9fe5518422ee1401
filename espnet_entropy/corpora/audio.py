"""Audio files of any kind as 16 kHz mono; whatever cannot be that is a named error.

Shape: T samples. Damage is looked for, not only met: libsndfile itself reads a WAV or an Ogg
whose end is missing without a word.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import soundfile

from espnet_entropy.utils.grid import SAMPLE_RATE

MAX_SECONDS = 600.0  # quadratic attention over more is never wanted: cut it with `segments`
OVERSHOOT = 0.5  # seconds a segment may end late; extract-segments of Kaldi has the same
_MAX_PEAK = 10.0  # float files a little above full scale are clipped; integers as floats are not
_UNKNOWN_LENGTH = 0x7FFFF000  # bytes; a WAV header written to a pipe claims this or more
_SHORTENED = r"^ *(?:data|SSND|Data Size) *: (\d+) \(should be (\d+)\)"  # libsndfile's own log
_OGG_TOLERANCE = 0.2  # seconds: Opus pre-skip (80 ms at most in practice), cut first pages
_LARGEST_OGG_PAGE = 65_307  # bytes (RFC 3533)


def load_audio(
    path: str | Path,
    max_seconds: float = MAX_SECONDS,
    start: float = 0.0,
    end: float | None = None,
) -> np.ndarray:
    """Decode a file (WAV, FLAC, Ogg Opus or Vorbis, MP3, …) as 16 kHz mono.

    Channels are averaged, other sampling rates resampled (polyphase), values clipped to ±1.
    Digital silence is no error.

    Args:
        path: the file.
        max_seconds: the longest audio accepted.
        start: where to begin, in seconds.
        end: where to stop, in seconds; ``None`` is the end of the file.

    Returns:
        (T,) float32 in [-1, 1], T >= 1.

    Raises:
        ValueError: naming the file, what was found and what to do, if it is missing, a
            directory, empty, not audio, corrupt, truncated, too long, not finite or not scaled
            to ±1, or shorter than the segment asks for.
    """
    samples, rate = _decode(Path(path), max_seconds, start, end)
    if samples.size == 0:
        raise ValueError(f"{path}: got no samples; expected audio. Record it again or remove it.")
    if not np.isfinite(samples).all():
        bad = int((~np.isfinite(samples)).sum())
        raise ValueError(
            f"{path}: {bad} of {samples.size} samples are NaN or infinite; expected finite numbers."
            " Convert the source again or remove it."
        )
    peak = float(np.abs(samples).max())
    if peak > _MAX_PEAK:
        raise ValueError(
            f"{path}: floating-point samples as large as {peak:g}; expected -1 to 1. "
            "Divide by the integer full scale (32768 for 16 bit)."
        )
    mono: np.ndarray = samples.mean(axis=1, dtype=np.float32)
    return np.asarray(np.clip(resample(mono, rate), -1.0, 1.0))


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Bring (T,) float32 from ``rate`` Hz to 16 kHz, with an anti-aliasing polyphase filter.

    Returns:
        (ceil(T * 16000 / rate),) float32.
    """
    if rate == SAMPLE_RATE:
        return samples
    from scipy.signal import resample_poly  # 1.7 s to import: only where it is needed

    common = math.gcd(rate, SAMPLE_RATE)
    result = resample_poly(samples, SAMPLE_RATE // common, rate // common)
    return np.asarray(result, dtype=np.float32)


def is_native(path: str | Path) -> bool:
    """Whether a decodable file is 16 kHz mono already."""
    info = soundfile.info(str(path))
    return bool(info.samplerate == SAMPLE_RATE and info.channels == 1)


def _decode(
    path: Path, max_seconds: float, start: float, end: float | None
) -> tuple[np.ndarray, int]:
    """(T, channels) float32 and the sampling rate in Hz."""
    _check_file(path)
    try:
        with soundfile.SoundFile(str(path)) as stream:
            rate, frames = int(stream.samplerate), int(stream.frames)
            _check_whole(path, stream)
            first, stop = _range(path, frames, rate, start, end)
            if stop - first > max_seconds * rate:
                raise ValueError(
                    f"{path}: {(stop - first) / rate:.1f} s of audio; expected at most "
                    f"{max_seconds:g} s. Cut it (a Kaldi 'segments' file) or raise the limit."
                )
            if first:
                stream.seek(first)
            samples = stream.read(stop - first, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OverflowError) as error:
        reason = getattr(error, "error_string", str(error)).rstrip(".")
        if reason.startswith("File does not exist"):  # it does: libmpg123's way to say so
            reason = "Format not recognised"
        raise ValueError(
            f"{path}: cannot be decoded ({reason}); expected a whole WAV, FLAC, Ogg or MP3 file. "
            "Convert or copy it again."
        ) from error
    if len(samples) < stop - first:
        raise _truncated(path, f"{len(samples)} of {stop - first} samples")
    return samples, rate


def _range(path: Path, frames: int, rate: int, start: float, end: float | None) -> tuple[int, int]:
    """First and last sample (exclusive) of ``start`` .. ``end`` seconds in the file."""
    if end is None and start == 0.0:
        return 0, frames
    stop = frames / rate if end is None else end
    if not 0.0 <= start < stop or stop > frames / rate + OVERSHOOT or start * rate >= frames:
        raise ValueError(
            f"{path}: segment from {start} s to {stop} s; expected start < end within the "
            f"recording of {frames / rate:.3f} s. Correct 'segments'."
        )
    return round(start * rate), min(frames, round(stop * rate))


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise ValueError(f"{path}: a directory; expected an audio file. Name a file in it.")
    if not path.exists():
        base = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise ValueError(f"{path}: no such file{base}; expected an audio file. Check the path.")
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file; expected an audio file on disk.")
    try:
        with open(path, "rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise ValueError(
            f"{path}: cannot be read ({error.strerror}); check its permissions."
        ) from error
    if empty:
        raise ValueError(f"{path}: an empty file (0 bytes); expected audio. Copy it again.")


def _check_whole(path: Path, stream: soundfile.SoundFile) -> None:
    """Find a missing end of those formats that libsndfile shortens in silence."""
    if stream.format in ("WAV", "WAVEX", "AIFF", "AU", "RF64", "W64"):
        found = re.search(_SHORTENED, stream.extra_info, re.MULTILINE)
        if found and int(found[2]) < int(found[1]) < _UNKNOWN_LENGTH:
            raise _truncated(path, f"{found[2]} of {found[1]} bytes of samples")
    elif stream.format == "OGG":
        last = _ogg_length(path)
        if last is None:
            raise _truncated(path, "an Ogg stream without its last page")
        seconds = last / (48_000 if stream.subtype == "OPUS" else stream.samplerate)
        if stream.frames / stream.samplerate < seconds - _OGG_TOLERANCE:
            got = f"{stream.frames / stream.samplerate:.2f} of {seconds:.2f} s"
            raise _truncated(path, f"{got} (damaged pages)")


def _ogg_length(path: Path) -> int | None:
    """Position that the last page claims (RFC 3533), or ``None`` if that page is not whole.

    In samples, of 48 kHz for Opus whatever the rate of its source (RFC 7845).
    """
    with open(path, "rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - 2 * _LARGEST_OGG_PAGE))
        tail = stream.read()
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        return None
    table = tail[at + 27 : at + 27 + tail[at + 26]]
    complete = len(table) == tail[at + 26] and len(tail) >= at + 27 + len(table) + sum(table)
    end_of_stream = tail[at + 5] & 4
    return int.from_bytes(tail[at + 6 : at + 14], "little") if complete and end_of_stream else None


def _truncated(path: Path, got: str) -> ValueError:
    return ValueError(f"{path}: truncated: got {got}; expected the whole file. Copy it again.")
